/** Bad words as token sequences: as vLLM makes them of text, and ids as they are. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resolveBadWords } from '../src/generate/bad-words.ts';
import { servedModel } from './fixtures/scripted-engine.ts';
import { smallTokenizer } from './fixtures/tokenizers.ts';

const request = (badWords?: (string | number[])[]) => ({ model: 'm', prompt: 'x', ...(badWords && { badWords }) });

test('a word is banned as it stands and as it stands after a space, without special tokens', async () => {
  const tokenizer = smallTokenizer('byteLevel');
  const model = servedModel({ tokenizer });
  const ids = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });
  for (const word of ['a', 'he', 'hello', ' a']) {
    const bare = word.trimStart();
    const [alone, after] = [ids(bare), ids(` ${bare}`)];
    const both = after.length === alone.length && after[0] !== alone[0];
    assert.deepEqual(await resolveBadWords(request([word]), model), both ? [alone, after] : [alone], word);
  }
});

test('where a tokenizer puts the space itself, a word is one sequence', async () => {
  const tokenizer = smallTokenizer('byteFallback');
  const sequences = await resolveBadWords(request(['hell']), servedModel({ tokenizer }));
  assert.deepEqual(sequences, [tokenizer.encode('hell', { addSpecialTokens: false })]);
});

test('ids are taken as they are; those of the checkpoint hold where the request says nothing', async () => {
  const model = servedModel({ defaults: { endTokens: [2], badWords: [[9]] } });
  assert.deepEqual(await resolveBadWords(request([[5, 6], [7]]), model), [[5, 6], [7]]);
  assert.deepEqual(await resolveBadWords(request(), model), [[9]]);
  assert.deepEqual(await resolveBadWords(request([]), model), []);
});

test('many words give way to other work, and stop with the request', async () => {
  const model = servedModel({ tokenizer: smallTokenizer('byteFallback') });
  const words = Array.from({ length: 128 }, () => 'x'.repeat(128));
  assert.equal((await resolveBadWords(request(words), model)).length, 128);
  const controller = new AbortController();
  const work = resolveBadWords(request(words), model, controller.signal);
  controller.abort(new Error('no longer wanted'));
  await assert.rejects(work, /no longer wanted/);
});

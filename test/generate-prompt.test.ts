/** What reaches the engine of a prompt: texts and ids, start tokens, truncation. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GenerateRequest } from '../src/request.ts';
import type { ServedModel } from '../src/served-model.ts';
import { collect, servedModel } from './fixtures/scripted-engine.ts';
import { smallTokenizer } from './fixtures/tokenizers.ts';

const done = [{ tokens: [2], finish: 'stop' as const }];
const llama = smallTokenizer('byteFallback');
const t5 = smallTokenizer('metaspace');

async function submitted(request: Partial<GenerateRequest>, model: ServedModel) {
  const { engine, usage } = await collect(request, done, model);
  const { source, prompt } = engine.submitted[0]!;
  return { source: source && [...source], prompt: [...prompt], promptTokens: usage.promptTokens };
}

const decoderOnly = servedModel({ tokenizer: llama });
const encoderDecoder = servedModel({ tokenizer: t5, encoder: true });
const [a, he] = [llama.tokenId('▁a')!, llama.tokenId('he')!];

test('decoder-only: text through the post-processor, ids verbatim', async () => {
  assert.deepEqual(await submitted({ prompt: 'a' }, decoderOnly), { source: null, prompt: [1, a], promptTokens: 2 });
  assert.deepEqual((await submitted({ prompt: 'a', addSpecialTokens: false }, decoderOnly)).prompt, [a]);
  assert.deepEqual((await submitted({ prompt: [he, a] }, decoderOnly)).prompt, [he, a]);
});

test("decoder-only: a family's own first token is put before text that lacks it", async () => {
  const plain = smallTokenizer('byteLevel');
  const model = servedModel({ tokenizer: plain, defaults: { endTokens: [2], promptStart: 1 } });
  const [h] = plain.encode('he');
  assert.deepEqual((await submitted({ prompt: 'he' }, model)).prompt, [1, h]);
  assert.deepEqual((await submitted({ prompt: '<s>he' }, model)).prompt, [1, h]);
  assert.deepEqual((await submitted({ prompt: 'he', addSpecialTokens: false }, model)).prompt, [h]);
  assert.deepEqual((await submitted({ prompt: [h!] }, model)).prompt, [h]);
});

test('encoder-decoder: the start token comes before the decoder prompt and does not count', async () => {
  const source = t5.encode('he');
  assert.deepEqual(await submitted({ prompt: 'he' }, encoderDecoder), {
    source,
    prompt: [0],
    promptTokens: source.length,
  });
  const decoderPrompt = t5.encode('the', { addSpecialTokens: false });
  assert.deepEqual(await submitted({ prompt: 'he', decoderPrompt: 'the' }, encoderDecoder), {
    source,
    prompt: [0, ...decoderPrompt],
    promptTokens: source.length + decoderPrompt.length,
  });
  assert.deepEqual((await submitted({ prompt: [7], decoderPrompt: [8, 9] }, encoderDecoder)).prompt, [0, 8, 9]);
});

test('encoder-decoder: the decoder prompt is of the target vocabulary', async () => {
  const target = smallTokenizer('plain');
  const model = servedModel({ tokenizer: t5, targetTokenizer: target, encoder: true });
  const { prompt } = await submitted({ prompt: 'he', decoderPrompt: 'a' }, model);
  assert.deepEqual(prompt, [0, target.tokenId('a')]);
});

test('truncation keeps the tail of a prompt, the head of a source, and the special tokens around text', async () => {
  assert.deepEqual((await submitted({ prompt: [5, 6, 7, 8], truncatePrompt: 2 }, decoderOnly)).prompt, [7, 8]);
  assert.deepEqual((await submitted({ prompt: [5, 6, 7, 8], truncatePrompt: 2 }, encoderDecoder)).source, [5, 6]);
  const text = llama.encode('hello', { addSpecialTokens: false });
  assert.deepEqual((await submitted({ prompt: 'hello', truncatePrompt: 3 }, decoderOnly)).prompt, [
    1,
    ...text.slice(-2),
  ]);
  const source = t5.encode('hello', { addSpecialTokens: false });
  assert.deepEqual((await submitted({ prompt: 'hello', truncatePrompt: 3 }, encoderDecoder)).source, [
    ...source.slice(0, 2),
    2,
  ]);
  assert.deepEqual((await submitted({ prompt: 'hello', truncatePrompt: 1 }, encoderDecoder)).source, [source[0]]);
  assert.deepEqual((await submitted({ prompt: 'a', truncatePrompt: 9 }, decoderOnly)).prompt, [1, a]);
});

const words = Array.from({ length: 200_000 }, (_, at) => ['hello', 'a', 'the', 'x9.'][(at * 7 + (at >> 3)) % 4]).join(
  ' ',
);

test('a truncated text of a megabyte is cut before it is tokenised, and gives what the whole would', async () => {
  const start = performance.now();
  const tail = await submitted({ prompt: words, truncatePrompt: 40 }, decoderOnly);
  const head = await submitted({ prompt: words, truncatePrompt: 20 }, encoderDecoder);
  const cut = performance.now();
  for (const tokenizer of [llama, t5]) tokenizer.encode(words.slice(0, words.length / 10), { addSpecialTokens: false });
  const tenth = performance.now() - cut;
  assert.ok(cut - start < tenth, `${cut - start} ms, and ${tenth} ms for a tenth of it whole`);
  assert.deepEqual(tail.prompt, [1, ...llama.encode(words.slice(-2000), { addSpecialTokens: false }).slice(-39)]);
  assert.deepEqual(head.source, [...t5.encode(words.slice(0, 2000), { addSpecialTokens: false }).slice(0, 19), 2]);
});

test('a long text that fits is taken: what the vocabulary lacks is one unknown token', async () => {
  const { source } = await submitted({ prompt: `he ${'\u0378'.repeat(10_000)}` }, encoderDecoder);
  assert.equal(source!.at(-2), 0);
  assert.ok(source!.length <= 8, `${source}`);
});

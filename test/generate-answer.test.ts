/** From the engine's events to chunks: text as it becomes final, ends, stop strings, several answers, log-probabilities. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Generator } from '../src/generate.ts';
import { collect, ScriptedEngine, type ScriptedEvent, servedModel } from './fixtures/scripted-engine.ts';
import { smallTokenizer } from './fixtures/tokenizers.ts';

const tokenizer = smallTokenizer('byteFallback');
const model = servedModel({ tokenizer });
const ids = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });
const id = (token: string) => tokenizer.tokenId(token)!;

/** An event a token. */
function script(tokens: readonly number[], finish: ScriptedEvent['finish'] = 'length', index = 0): ScriptedEvent[] {
  return tokens.map((token, at) => ({ index, tokens: [token], ...(at === tokens.length - 1 && { finish }) }));
}

test('the streamed pieces are the whole text, and characters come whole', async () => {
  const text = 'hello a 🙂 漢字 é';
  const { chunks, texts, usage } = await collect({ prompt: [1] }, script(ids(text)), model);
  assert.deepEqual(texts, [text]);
  assert.ok(chunks.every(chunk => !chunk.text.includes('\ufffd')));
  assert.ok(chunks.some(chunk => chunk.text === '' && chunk.tokens.length === 1));
  assert.deepEqual(
    chunks.flatMap(chunk => chunk.tokens),
    ids(text),
  );
  assert.deepEqual(chunks.at(-1)?.finish, { reason: 'length', stopReason: null });
  assert.equal(usage.completionTokens, ids(text).length);
  const together = await collect({ prompt: [1] }, [{ tokens: ids(text), finish: 'length' }], model);
  assert.deepEqual(together.texts, [text]);
});

test('an answer goes on from its prompt', async () => {
  const answer = script(ids('a'));
  assert.deepEqual((await collect({ prompt: 'hello' }, answer, model)).texts, [' a']);
  const encoderDecoder = servedModel({ tokenizer, encoder: true });
  assert.deepEqual((await collect({ prompt: 'hello' }, answer, encoderDecoder)).texts, ['a']);
  assert.deepEqual((await collect({ prompt: 'hello', decoderPrompt: 'he' }, answer, encoderDecoder)).texts, [' a']);
});

test('text is of the target vocabulary', async () => {
  const targetTokenizer = smallTokenizer('stripped');
  const tokens = targetTokenizer.encode('abc');
  const two = servedModel({ tokenizer, targetTokenizer, encoder: true });
  assert.deepEqual((await collect({ prompt: 'he' }, script(tokens), two)).texts, ['abc']);
});

test('an unfinished character ends the text as U+FFFD', async () => {
  assert.deepEqual((await collect({ prompt: [1] }, script([id('a'), id('<0xF0>')]), model)).texts, ['a\ufffd']);
});

test("the model's end token is a token and no text, even where special tokens show", async () => {
  const { chunks, texts, usage } = await collect(
    { prompt: [1], skipSpecialTokens: false, includeStop: true },
    script([...ids('a'), 2], 'stop'),
    model,
  );
  assert.deepEqual(texts, ['a']);
  assert.deepEqual(chunks.at(-1), { index: 0, text: '', tokens: [2], finish: { reason: 'stop', stopReason: null } });
  assert.equal(usage.completionTokens, 2);
  // Forced at the last place, it may come with reason `length`.
  assert.deepEqual((await collect({ prompt: [1], skipSpecialTokens: false }, script([...ids('a'), 2]), model)).texts, [
    'a',
  ]);
});

test('special tokens in the middle show where asked', async () => {
  const events = script([...ids('he'), 1, ...ids('a')]);
  assert.deepEqual((await collect({ prompt: [1] }, events, model)).texts, ['he a']);
  assert.deepEqual((await collect({ prompt: [1], skipSpecialTokens: false }, events, model)).texts, ['he<s> a']);
});

test('a stop token gives its id as the reason, and its text only where asked', async () => {
  const stopToken = id('ll');
  const events: ScriptedEvent[] = [{ tokens: [id('he')] }, { tokens: [stopToken], finish: 'stop', stopToken }];
  const request = { prompt: [id('a')], stopTokens: [stopToken] };
  const { chunks, texts } = await collect(request, events, model);
  assert.deepEqual(texts, ['he']);
  assert.deepEqual(chunks.at(-1)?.finish, { reason: 'stop', stopReason: stopToken });
  assert.deepEqual((await collect({ ...request, includeStop: true }, events, model)).texts, ['hell']);
});

test('a stop string over several chunks ends the answer and the work for it', async () => {
  const tokens = ids('hello all z');
  const { chunks, texts, usage, engine } = await collect({ prompt: [1], stop: ['lo a'] }, script(tokens), model);
  assert.deepEqual(texts, ['hel']);
  assert.deepEqual(chunks.at(-1)?.finish, { reason: 'stop', stopReason: 'lo a' });
  const shown = chunks.map(chunk => chunk.text).filter(text => text !== '');
  assert.ok(
    shown.every(text => !text.includes('o')),
    shown.join('|'),
  );
  assert.ok(usage.completionTokens < tokens.length);
  assert.equal(usage.completionTokens, chunks.flatMap(chunk => chunk.tokens).length);
  assert.equal(engine.closed, 1);
  assert.equal(engine.aborted, 1);
  const including = await collect({ prompt: [1], stop: ['lo a'], includeStop: true }, script(tokens), model);
  assert.deepEqual(including.texts, ['hello a']);
});

test('what might have become a stop string comes out at the end', async () => {
  assert.deepEqual((await collect({ prompt: [1], stop: ['lo all'] }, script(ids('hello a')), model)).texts, [
    'hello a',
  ]);
});

test('tokens of one event after a stop string are dropped, their log-probabilities too', async () => {
  const tokens = ids('zxcv');
  const logprobs = tokens.map(() => ({ logprob: -1, rank: 1, top: [] }));
  const { chunks } = await collect({ prompt: [5], stop: ['x'], logprobs: 0 }, [{ tokens, logprobs }], model);
  assert.equal(chunks.length, 1);
  assert.deepEqual(chunks[0]?.tokens, tokens.slice(0, tokens.indexOf(id('x')) + 1));
  assert.equal(chunks[0]?.logprobs?.length, chunks[0]?.tokens.length);
});

test('stop strings do not count before min_tokens', async () => {
  const tokens = ids('zxzx');
  const { texts } = await collect({ prompt: [1], stop: ['x'], minTokens: tokens.length - 1 }, script(tokens), model);
  assert.deepEqual(texts, ['zxz']);
});

test('several answers interleave, and each ends by itself', async () => {
  const [first, second] = [script(ids('hello x he'), 'length', 0), script([...ids('a z he'), 2], 'stop', 1)];
  const mixed = second.flatMap((event, at) => [event, ...first.slice(2 * at, 2 * at + 2)]);
  assert.equal(mixed.length, first.length + second.length);
  const { texts, chunks, engine } = await collect({ prompt: [1], n: 2, stop: ['x'] }, mixed, model);
  assert.deepEqual(texts, ['hello ', 'a z he']);
  assert.deepEqual(engine.cancelled, [0]);
  assert.equal(engine.submitted[0]?.n, 2);
  const finishes = chunks.filter(chunk => chunk.finish).map(chunk => [chunk.index, chunk.finish?.stopReason]);
  assert.deepEqual(finishes, [
    [0, 'x'],
    [1, null],
  ]);
});

test("log-probabilities carry the tokens' texts and bytes", async () => {
  const [token, other] = [id('▁a'), id('<0xF0>')];
  const events: ScriptedEvent[] = [
    {
      tokens: [token],
      logprobs: [
        {
          logprob: -0.5,
          rank: 1,
          top: [
            [token, -0.5],
            [other, -2],
          ],
        },
      ],
      finish: 'length',
    },
  ];
  const { chunks } = await collect({ prompt: [1], logprobs: 2 }, events, model);
  const chosen = { token, text: ' a', bytes: [32, 97], logprob: -0.5 };
  assert.deepEqual(chunks[0]?.logprobs, [
    { ...chosen, top: [chosen, { token: other, text: '\ufffd', bytes: [0xf0], logprob: -2 }] },
  ]);
  assert.equal((await collect({ prompt: [1] }, script(ids('a')), model)).chunks[0]?.logprobs, undefined);
});

test('usage counts what the caches held', async () => {
  const events: ScriptedEvent[] = [
    { tokens: [id('a')], cachedTokens: 3 },
    { tokens: [2], finish: 'stop' },
  ];
  const { usage } = await collect({ prompt: [5, 6, 7, 8] }, events, model);
  assert.deepEqual(usage, { promptTokens: 4, completionTokens: 2, cachedTokens: 3 });
});

test('without a tokenizer the answer is token ids', async () => {
  const { chunks } = await collect({ prompt: [5], logprobs: 0 }, [
    { tokens: [7], logprobs: [{ logprob: -1, rank: 1, top: [] }] },
    { tokens: [2], logprobs: [{ logprob: -2, rank: 1, top: [] }], finish: 'stop' },
  ]);
  const named = (token: number, logprob: number) => [{ token, text: `token_id:${token}`, bytes: [], logprob, top: [] }];
  assert.deepEqual(chunks, [
    { index: 0, text: '', tokens: [7], logprobs: named(7, -1) },
    { index: 0, text: '', tokens: [2], logprobs: named(2, -2), finish: { reason: 'stop', stopReason: null } },
  ]);
});

test('an engine that ends too early is a fault, not a short answer', async () => {
  const stream = new Generator(new ScriptedEngine([{ tokens: [7] }]), [model]).generate({ model: 'm', prompt: [5] });
  await stream.next();
  await assert.rejects(stream.next(), /before its answers were done/);
});

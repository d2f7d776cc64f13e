/** Whoever stops listening frees the request's place in the engine. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RedllmError } from '../src/errors.ts';
import { Generator } from '../src/generate.ts';
import { redllmError } from './fixtures/errors.ts';
import { ScriptedEngine, servedModel } from './fixtures/scripted-engine.ts';
import { smallTokenizer } from './fixtures/tokenizers.ts';

const request = { model: 'm', prompt: [5] };
const cancelled = redllmError('cancelled', /cancelled/);

function start(script: ConstructorParameters<typeof ScriptedEngine>[0], signal?: AbortSignal) {
  const engine = new ScriptedEngine(script);
  return { engine, stream: new Generator(engine, [servedModel()]).generate(request, signal) };
}

test('an abort while waiting for tokens', async () => {
  const controller = new AbortController();
  const { engine, stream } = start([{ tokens: [7] }, null], controller.signal);
  assert.equal((await stream.next()).done, false);
  const next = stream.next();
  controller.abort();
  await assert.rejects(next, cancelled);
  assert.deepEqual([engine.aborted, engine.closed], [1, 1]);
});

test('an abort before the request is submitted', async () => {
  const { engine, stream } = start([{ tokens: [7] }], AbortSignal.abort());
  await assert.rejects(stream.next(), cancelled);
  assert.equal(engine.submitted.length, 0);
});

test('leaving the loop', async () => {
  const { engine, stream } = start([{ tokens: [7] }, { tokens: [8] }, null]);
  for await (const chunk of stream) {
    assert.deepEqual(chunk.tokens, [7]);
    break;
  }
  assert.deepEqual([engine.aborted, engine.closed], [1, 1]);
});

test('a sequence that the engine cancelled', async () => {
  const { stream } = start([{ tokens: [7] }, { finish: 'cancelled' }]);
  await stream.next();
  await assert.rejects(stream.next(), cancelled);
});

test("the engine's failure reaches the caller as it is", async () => {
  const failure = new RedllmError('deadline_exceeded', 'The request took too long.');
  const { stream } = start([{ tokens: [7] }, failure]);
  await stream.next();
  await assert.rejects(stream.next(), redllmError('deadline_exceeded', /too long/));
});

test('a request that has ended is not cancelled, and its signal is let go', async () => {
  const controller = new AbortController();
  const { engine, stream } = start([{ tokens: [2], finish: 'stop' }], controller.signal);
  await stream.next();
  assert.equal((await stream.next()).done, true);
  controller.abort();
  assert.equal(engine.aborted, 0);
});

/** Characters that the vocabulary lacks: nothing says beforehand how many tokens they are. */
const endless = '\u0378 '.repeat(1_600_000);

for (const [name, timeout, error] of [
  ['an abort', undefined, cancelled],
  ['the deadline', 50, redllmError('deadline_exceeded', /longer/)],
] as const)
  test(`${name} ends the tokenising of a long prompt`, async () => {
    const engine = new ScriptedEngine([]);
    const tokenizer = smallTokenizer('byteFallback');
    const generator = new Generator(engine, [servedModel({ tokenizer })]);
    const controller = new AbortController();
    const begun = performance.now();
    const prompt = { model: 'm', prompt: endless, ...(timeout !== undefined && { timeout }) };
    const next = generator.generate(prompt, controller.signal).next();
    const counted = generator.tokenize({ ...prompt, signal: controller.signal });
    if (timeout === undefined) setTimeout(() => controller.abort(), 50);
    await assert.rejects(next, error);
    await assert.rejects(counted, error);
    assert.ok(performance.now() - begun < 5000, `${performance.now() - begun} ms`);
    assert.equal(engine.submitted.length, 0);
    await generator.close();
  });

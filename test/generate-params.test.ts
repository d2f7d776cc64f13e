/** Sampling fields as the engine gets them: the request's, else the checkpoint's, else OpenAI's defaults. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { now } from '../src/clock.ts';
import { resolveParams } from '../src/generate/params.ts';
import type { GenerateRequest } from '../src/request.ts';
import type { ServedModel } from '../src/served-model.ts';
import { collect, servedModel } from './fixtures/scripted-engine.ts';

async function submitted(request: Partial<GenerateRequest> = {}, model?: ServedModel) {
  const { engine } = await collect(request, [{ tokens: [2], finish: 'stop' }], model);
  return engine.submitted[0]!;
}

test('defaults where neither the request nor the checkpoint says anything', async () => {
  const { params, n, deadline } = await submitted();
  const { seed, ...rest } = params;
  assert.equal(n, 1);
  assert.equal(deadline, null);
  assert.ok(seed.every(word => Number.isInteger(word) && word >= 0 && word < 2 ** 32));
  assert.deepEqual(rest, {
    maxTokens: 63,
    minTokens: 0,
    temperature: 1,
    topK: 0,
    topP: 1,
    minP: 0,
    repetitionPenalty: 1,
    presencePenalty: 0,
    frequencyPenalty: 0,
    logitBias: [],
    logprobs: -1,
    stopTokens: [2],
    endTokens: [2],
    forcedFirst: null,
    forcedLast: null,
    noRepeatNgram: 0,
    badWords: [],
    allowedTokens: null,
    beam: null,
  });
});

test("the checkpoint's defaults, and the request over them", async () => {
  const checkpoint = { temperature: 0, topK: 50, topP: 0.9, minP: 0.1, repetitionPenalty: 1.2, maxNewTokens: 20 };
  const bans = { noRepeatNgram: 3, badWords: [[5]] };
  const defaults = { endTokens: [2, 3], forcedFirst: 7, forcedLast: 2, ...checkpoint, ...bans };
  const model = servedModel({ defaults });
  const { maxTokens, forcedFirst, forcedLast, ...other } = (await submitted({}, model)).params;
  assert.deepEqual([maxTokens, forcedFirst, forcedLast], [20, 7, 2]);
  const { maxNewTokens: _, ...sampling } = checkpoint;
  assert.deepEqual({ ...other, ...sampling, ...bans }, other);
  const asked = {
    temperature: 0.5,
    topK: -1,
    topP: 0.5,
    minP: 0,
    repetitionPenalty: 1,
    noRepeatNgram: 0,
    badWords: [],
  };
  const { params } = await submitted({ ...asked, maxTokens: 30, forcedFirst: null, forcedLast: 3 }, model);
  assert.deepEqual({ ...params, ...asked, topK: 0 }, params);
  assert.deepEqual([params.maxTokens, params.forcedFirst, params.forcedLast], [30, null, 3]);
});

test('without max_tokens the answer may fill what is left', async () => {
  const model = servedModel({ defaults: { endTokens: [2], maxNewTokens: 1000 } });
  assert.equal((await submitted({ prompt: [5, 6, 7] }, model)).params.maxTokens, 61);
  assert.equal((await submitted({ prompt: [5, 6, 7], maxTokens: 61 })).params.maxTokens, 61);
});

test('without max_tokens an answer may become as long as the model and the memory let it', () => {
  const model = servedModel({ maxTarget: 100_000 });
  const length = (fits: number, used = 10) =>
    resolveParams({ model: 'm', prompt: '' }, model, { used, fits }).maxTokens;
  assert.equal(length(200_000), 99_990);
  assert.equal(length(80_000), 79_990);
  assert.equal(length(500), 490);
  assert.equal(length(16, 16), 1, 'the engine says why this does not fit');
});

test('a seed is 64 bits in two words; without one it is another each time', async () => {
  const seeds = async (seed?: number) => (await submitted(seed === undefined ? {} : { seed })).params.seed;
  assert.deepEqual(await seeds(42), [42, 0]);
  assert.deepEqual(await seeds(2 ** 32 + 5), [5, 1]);
  assert.deepEqual(await seeds(-1), [2 ** 32 - 1, 2 ** 32 - 1]);
  assert.notDeepEqual(await seeds(), await seeds());
});

test('stop tokens join the end tokens, which ignore_eos leaves out', async () => {
  const asked = { stopTokens: [9, 2, 9] };
  const { params } = await submitted(asked);
  assert.deepEqual([params.stopTokens, params.endTokens], [[9, 2], [2]]);
  const ignoring = await submitted({ stopTokens: [9], ignoreEos: true });
  assert.deepEqual([ignoring.params.stopTokens, ignoring.params.endTokens], [[9], []]);
});

test('logit bias, log-probabilities, n and the deadline', async () => {
  const before = now();
  const logitBias = new Map([
    [7, -100],
    [9, 2.5],
  ]);
  const { params, n, deadline } = await submitted({ logitBias, logprobs: 5, n: 1, timeout: 5000 });
  assert.deepEqual(params.logitBias, [...logitBias]);
  assert.deepEqual([params.logprobs, n], [5, 1]);
  assert.ok(deadline! >= before + 5000 && deadline! <= now() + 5000);
});

test('the least and greatest temperature and repetition penalty', async () => {
  for (const temperature of [0, 1e-5, 1e6])
    assert.equal((await submitted({ temperature })).params.temperature, temperature);
  for (const penalty of [0.01, 100])
    assert.equal((await submitted({ repetitionPenalty: penalty })).params.repetitionPenalty, penalty);
});

test('priority, salt and client as given, and the usual ones', async () => {
  const asked = await submitted({ priority: -3, cacheSalt: 'mine', client: 'someone' });
  assert.deepEqual([asked.priority, asked.cacheSalt, asked.client], [-3, 'mine', 'someone']);
  const usual = await submitted();
  assert.deepEqual([usual.priority, usual.cacheSalt, usual.client], [0, null, null]);
});

test('allowed tokens once each; a forced token of the checkpoint that is not among them is not forced', async () => {
  const model = servedModel({ defaults: { endTokens: [2], forcedFirst: 7, forcedLast: 2 } });
  const { params } = await submitted({ allowedTokens: [2, 9, 2] }, model);
  assert.deepEqual([params.allowedTokens, params.forcedFirst, params.forcedLast], [[2, 9], null, 2]);
});

/** Steps that are launched before the last one's tokens are known: what a request gets is the same, and nothing runs that need not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Submission } from '../src/engine/engine.ts';
import type { EngineOptions, ModelToLoad, SamplingParams } from '../src/engine/protocol.ts';
import { sequenceSeed } from '../src/engine/sampling.ts';
import { collect, FakeEngine, fakeModel, greedy, submission } from './fixtures/fake-engine.ts';
import { expectedAnswer, expectedHypotheses } from './fixtures/fake-oracle.ts';
import { FakeRuntime } from './fixtures/fake-runtime.ts';
import { fakePageBytes } from './fixtures/fake-spec.ts';

const start = (options: Partial<EngineOptions> = {}, models?: ModelToLoad[], now?: () => number) =>
  FakeEngine.start(options, models, now, new FakeRuntime(true));

const params = (more: Partial<SamplingParams>): SamplingParams => ({ ...greedy, ...more });

/** What answer `index` of a request to a model that fakeModel() makes is alone. */
function alone({ model, source, prompt, params }: Submission, index = 0) {
  const { spec } = fakeModel(model);
  return expectedAnswer(spec, source && [...source], [...prompt], params, sequenceSeed(params.seed, index));
}

/** Runs them side by side; each must get what it gets alone. */
async function checkAll(fake: FakeEngine, requests: readonly Submission[]): Promise<void> {
  const all = await Promise.all(requests.map(request => collect(fake.engine.submit(request))));
  for (const [i, request] of requests.entries()) {
    for (let index = 0; index < request.n; index++) {
      const { tokens, finish } = alone(request, index);
      assert.deepEqual(all[i]!.tokens[index], tokens, `request ${i}, answer ${index}`);
      assert.equal(all[i]!.finishes[index], finish);
    }
  }
}

/** Closes an engine in which nothing must be left. @returns the statistics of its first model */
async function close(fake: FakeEngine) {
  const [stats] = await fake.engine.stats();
  fake.loop.checkIdle();
  await fake.engine.close();
  return stats!;
}

test('every step but the first is launched before the last is collected, and none beyond max_tokens', async () => {
  const fake = await start();
  const native = fake.runtime.models[0]!;
  await checkAll(fake, [submission(20)]);
  assert.deepEqual([native.launches, native.launchesAhead], [20, 19]);
  const { steps, generatedTokens } = await close(fake);
  assert.deepEqual([steps, generatedTokens], [20, 20]);
});

test('a step at a time where native code does not run by itself', async () => {
  const fake = await FakeEngine.start();
  await checkAll(fake, [submission(20)]);
  const { launches, launchesAhead } = fake.runtime.models[0]!;
  assert.deepEqual([launches, launchesAhead], [20, 0]);
  await fake.engine.close();
});

test('an end token ends the answer: nothing comes after it, and it counts once', async () => {
  const { tokens } = alone(submission(20));
  const end = tokens[6]!;
  const length = tokens.indexOf(end) + 1;
  const fake = await start();
  const ending = submission(20, { params: params({ stopTokens: [end], endTokens: [end] }) });
  const { events, finishes, ...answer } = await collect(fake.engine.submit(ending));
  assert.deepEqual(answer.tokens, [tokens.slice(0, length)]);
  assert.deepEqual(finishes, ['stop']);
  assert.equal(events.at(-1)!.finish, 'stop');
  // One step more was under way when the end token came; its token is nobody's.
  await checkAll(fake, [submission(1)]);
  assert.equal(fake.runtime.models[0]!.launches, length + 1 + 1);
  assert.equal((await close(fake)).generatedTokens, length + 1);
});

test('answers that end at different times leave the others alone', async () => {
  const { tokens } = alone(submission(30));
  const fake = await start();
  const requests = tokens
    .slice(0, 8)
    .map((token, i) =>
      submission(12 + i, { n: 1 + (i % 3), params: params({ temperature: 1, seed: [i, 1], stopTokens: [token] }) }),
    );
  await checkAll(fake, requests);
  await close(fake);
});

test('penalties count every token, known or not', async () => {
  const fake = await start();
  const requests = [0, 1, 2].map(i =>
    submission(25, {
      n: 2,
      params: params({ repetitionPenalty: 1.4, frequencyPenalty: 0.3, presencePenalty: 0.2, seed: [i, i] }),
    }),
  );
  await checkAll(fake, requests);
  await close(fake);
});

test('forced tokens, minTokens and words of one token go by the number of tokens alone, a step ahead', async () => {
  const [first, second] = alone(submission(20)).tokens as [number, number];
  const fake = await start();
  const request = submission(20, {
    params: params({
      stopTokens: [first, second],
      endTokens: [first],
      minTokens: 7,
      badWords: [[alone(submission(20)).tokens[9]!]],
      forcedFirst: 4,
      forcedLast: 5,
    }),
  });
  await checkAll(fake, [request]);
  const { launches, launchesAhead } = fake.runtime.models[0]!;
  assert.equal(launchesAhead, launches - 1);
  await close(fake);
});

test('a cancel while a step is under way frees everything, and the others go on', async () => {
  const fake = await start();
  const long = fake.engine.submit(submission(500, { n: 2 }));
  const others = checkAll(fake, [submission(40), submission(30, { prompt: Int32Array.of(5, 6, 7) })]);
  for (let i = 0; i < 6; i++) await long.next();
  long.cancel(1);
  for (let i = 0; i < 6; i++) await long.next();
  long.cancel();
  const { finishes } = await collect(long);
  assert.equal(finishes[0], 'cancelled');
  await others;
  const { pages, running } = await close(fake);
  assert.deepEqual([running, pages.self, pages.cross], [0, pages.cachedSelf, pages.cachedCross]);
});

test('what a cancelled request had is given to the next while its step is under way', async () => {
  // One request fits at a time.
  const fake = await start({ kvMemory: 12 * fakePageBytes, maxRows: 1 });
  for (let round = 0; round < 5; round++) {
    const long = fake.engine.submit(submission(30, { prompt: Int32Array.of(round + 2), cacheSalt: `${round}` }));
    for (let i = 0; i < 5; i++) await long.next();
    const next = checkAll(fake, [submission(30, { source: Int32Array.of(9, round), cacheSalt: `next ${round}` })]);
    long.cancel();
    await collect(long);
    await next;
  }
  await close(fake);
});

test('a deadline ends a request whose step is under way', async () => {
  let time = 0;
  const fake = await start({}, undefined, () => time);
  const stream = fake.engine.submit(submission(500, { deadline: 100 }));
  for (let i = 0; i < 3; i++) await stream.next();
  time = 101;
  await assert.rejects(collect(stream), { code: 'deadline_exceeded' });
  await checkAll(fake, [submission(10)]);
  await close(fake);
});

test('beams and bans of repeated tokens wait for theirs, beside rows that do not', async () => {
  const fake = await start();
  const { spec } = fakeModel('m');
  const beam = { width: 3, lengthPenalty: 1, earlyStopping: false, patience: null };
  const beams = submission(12, { n: 2, params: params({ beam, stopTokens: [2], endTokens: [2] }) });
  const searched = collect(fake.engine.submit(beams));
  await checkAll(fake, [
    submission(40),
    submission(25, { params: params({ noRepeatNgram: 2 }) }),
    submission(25, { params: params({ badWords: [alone(submission(25)).tokens.slice(4, 6)] }) }),
  ]);
  const expected = expectedHypotheses(spec, [...beams.source!], [...beams.prompt], beams.params, 2);
  assert.deepEqual(
    (await searched).tokens,
    expected.map(({ tokens }) => tokens),
  );
  const { launches, launchesAhead } = fake.runtime.models[0]!;
  assert(launchesAhead > 10 && launchesAhead < launches - 20, `${launchesAhead} of ${launches}`);
  await close(fake);
});

test('scores come once, in order, from a prompt that is cut', async () => {
  const fake = await start({ maxBatchTokens: 8 });
  const prompt = Int32Array.from({ length: 50 }, (_, i) => (i * 7) % 30);
  const request = submission(6, { prompt, scored: 45, params: params({ logprobs: 2 }) });
  const { events, tokens } = await collect(fake.engine.submit(request));
  const expected = expectedAnswer(
    fakeModel('m').spec,
    [...request.source!],
    [...prompt],
    { ...request.params },
    [1, 2],
    45,
  );
  assert.deepEqual(
    events.flatMap(({ scores }) => scores ?? []),
    expected.scores,
  );
  assert.deepEqual(tokens, [expected.tokens]);
  await close(fake);
});

test('where memory is scarce, requests are preempted whose steps are under way', async () => {
  const fake = await start({ kvMemory: 24 * fakePageBytes });
  const requests = [0, 1, 2, 3, 4, 5].map(i =>
    submission(24, {
      source: Int32Array.of(i, 1, 2),
      params: params({ temperature: 1, seed: [i, 0], repetitionPenalty: i % 2 === 0 ? 1.3 : 1 }),
    }),
  );
  await checkAll(fake, requests);
  assert((await close(fake)).preemptions > 0);
});

test('two models take turns, two steps under way at most', async () => {
  const fake = await start({ kvMemory: 40 * fakePageBytes }, [fakeModel('m'), fakeModel('other', { encoder: true })]);
  await checkAll(fake, [submission(30), submission(60, { model: 'other' }), submission(20, { n: 2 })]);
  for (const { launches, launchesAhead } of fake.runtime.models) assert(launchesAhead > launches / 2);
  await close(fake);
});

test('an engine closes though a step is under way', async () => {
  const fake = await start();
  const stream = fake.engine.submit(submission(500));
  for (let i = 0; i < 3; i++) await stream.next();
  const failed = assert.rejects(collect(stream), { code: 'draining' });
  await fake.engine.close();
  await failed;
  assert(fake.runtime.freed);
});

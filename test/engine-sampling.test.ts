/** Seeds of the n answers, forced and banned tokens. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bannedTokens, forcedToken, sequenceSeed } from '../src/engine/sampling.ts';
import { collect, FakeEngine, greedy, submission } from './fixtures/fake-engine.ts';

test('the first of n keeps the seed, the others derive theirs as SplitMix64 does', () => {
  assert.deepEqual(sequenceSeed([5, 9], 0), [5, 9]);
  // The published sequence of SplitMix64 from state 1234567.
  assert.deepEqual(
    sequenceSeed([1234567, 0], 1),
    [6457827717110365317n & 0xffffffffn, 6457827717110365317n >> 32n].map(Number),
  );
  assert.deepEqual(
    sequenceSeed([1234567, 0], 2),
    [3203168211198807973n & 0xffffffffn, 3203168211198807973n >> 32n].map(Number),
  );
});

test('a forced last token comes at the last permitted place and wins over a forced first', () => {
  const params = { ...greedy, maxTokens: 3, forcedFirst: 7, forcedLast: 8 };
  assert.deepEqual(
    [0, 1, 2].map(step => forcedToken(params, step)),
    [7, -1, 8],
  );
  assert.equal(forcedToken({ ...params, maxTokens: 1 }, 0), 8);
});

test('tokens that end an answer are banned before minTokens', () => {
  const params = { ...greedy, minTokens: 2, stopTokens: [1, 4] };
  assert.deepEqual(
    [[], [7], [7, 7]].map(generated => [...bannedTokens(params, generated)]),
    [[1, 4], [1, 4], []],
  );
});

test('a stop token ends the answer and is reported; one of the end tokens has no stopToken', async () => {
  const { engine } = await FakeEngine.start();
  for (const endTokens of [[], [6]]) {
    const params = { ...greedy, forcedFirst: 6, stopTokens: [6], endTokens };
    const { events } = await collect(engine.submit(submission(5, { params })));
    assert.deepEqual(
      events.map(event => [event.tokens, event.finish, event.stopToken]),
      [[[6], 'stop', endTokens.length > 0 ? undefined : 6]],
    );
  }
  await engine.close();
});

test('log-probabilities come with every token, as many alternatives as asked', async () => {
  const { engine } = await FakeEngine.start();
  const { events } = await collect(engine.submit(submission(4, { params: { ...greedy, logprobs: 3 } })));
  for (const { logprobs, tokens } of events) {
    const [{ logprob, rank, top }] = logprobs as [NonNullable<typeof logprobs>[number]];
    assert.equal(rank, 1);
    assert.equal(top.length, 3);
    assert.deepEqual(top[0], [tokens[0], logprob]);
    assert(top[1]![1] <= logprob);
  }
  await engine.close();
});

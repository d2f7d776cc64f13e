/** A request that is cancelled, or past its deadline, gives its pages back before the next step and tells its reader. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RedllmError } from '../src/errors.ts';
import { collect, FakeEngine, submission } from './fixtures/fake-engine.ts';

/** Starts a long request and waits for its first tokens. */
async function running(fake: FakeEngine, n = 1, signal?: AbortSignal) {
  const stream = fake.engine.submit(submission(500, { n }), signal ? { signal } : {});
  for (let i = 0; i < 3 * n; i++) await stream.next();
  return stream;
}

test('cancel ends a running request with finish `cancelled`; its pages are free', async () => {
  const fake = await FakeEngine.start();
  const stream = await running(fake, 2);
  stream.cancel();
  const { finishes } = await collect(stream);
  assert.deepEqual(finishes, ['cancelled', 'cancelled']);
  fake.loop.checkIdle();
  await fake.engine.close();
});

test('cancelled pages are free within one step', async () => {
  const fake = await FakeEngine.start();
  const stream = await running(fake);
  let launches = 0;
  fake.runtime.models[0]!.onLaunch = () => launches++;
  stream.cancel();
  await collect(stream);
  assert(launches <= 1, `${launches} steps ran after the cancel`);
  await fake.engine.close();
});

test('one of n answers can be cancelled alone', async () => {
  const fake = await FakeEngine.start();
  const stream = await running(fake, 3);
  stream.cancel(1);
  const { finishes } = await collect(stream);
  assert.deepEqual(finishes, ['length', 'cancelled', 'length']);
  fake.loop.checkIdle();
  await fake.engine.close();
});

test('a waiting request is cancelled too', async () => {
  const fake = await FakeEngine.start({ maxRows: 1 });
  const first = await running(fake);
  const second = fake.engine.submit(submission(5));
  second.cancel();
  assert.deepEqual((await collect(second)).finishes, ['cancelled']);
  first.cancel();
  await collect(first);
  fake.loop.checkIdle();
  await fake.engine.close();
});

test('an abort of the signal cancels; one before the submit refuses', async () => {
  const fake = await FakeEngine.start();
  const abort = new AbortController();
  const stream = await running(fake, 1, abort.signal);
  abort.abort();
  assert.deepEqual((await collect(stream)).finishes, ['cancelled']);
  assert.throws(() => fake.engine.submit(submission(5), { signal: abort.signal }), { code: 'cancelled' });
  assert.equal(fake.engine.openRequests, 0);
  await fake.engine.close();
});

test('leaving the loop over a stream cancels it', async () => {
  const fake = await FakeEngine.start();
  for await (const _ of fake.engine.submit(submission(500))) break;
  while (fake.engine.openRequests > 0) await new Promise(setImmediate);
  const [stats] = await fake.engine.stats();
  assert(stats!.generatedTokens < 100, `${stats!.generatedTokens} tokens though nobody reads`);
  fake.loop.checkIdle();
  await fake.engine.close();
});

test('a reader that never reads holds up nobody', async () => {
  const fake = await FakeEngine.start();
  const unread = fake.engine.submit(submission(300));
  assert.deepEqual((await collect(fake.engine.submit(submission(400)))).finishes, ['length']);
  assert.equal((await collect(unread)).tokens[0]!.length, 300);
  await fake.engine.close();
});

test('past its deadline a running request fails with deadline_exceeded, a waiting one too', async () => {
  let now = 1000;
  const fake = await FakeEngine.start({ maxRows: 1 }, undefined, () => now);
  const first = fake.engine.submit(submission(500, { deadline: 2000 }));
  const second = fake.engine.submit(submission(5, { deadline: 2000 }));
  for (let i = 0; i < 3; i++) await first.next();
  now = 2000;
  for (const stream of [first, second]) {
    await assert.rejects(collect(stream), (error: unknown) => error instanceof RedllmError && error.status === 504);
  }
  fake.loop.checkIdle();
  await fake.engine.close();
});

/** The queue is bounded: beyond it a submit is refused at once, with the time after which to come back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CompletionRate } from '../src/engine/completion-rate.ts';
import type { RedllmError } from '../src/errors.ts';
import { collect, FakeEngine, fakeModel, submission } from './fixtures/fake-engine.ts';

test('a full queue answers queue_full with retryAfter, and takes requests again when it has drained', async () => {
  const { engine } = await FakeEngine.start({ maxRows: 1, maxQueue: 2 });
  const first = engine.submit(submission(50));
  await first.next();
  assert.equal(engine.queueDepth, 0);
  const waiting = [engine.submit(submission(5)), engine.submit(submission(5))];
  assert.equal(engine.queueDepth, 2);
  assert.throws(
    () => engine.submit(submission(5)),
    (error: RedllmError) => error.code === 'queue_full' && error.status === 429 && error.retryAfter === 1,
  );
  await Promise.all([first, ...waiting].map(collect));
  assert.deepEqual((await collect(engine.submit(submission(5)))).finishes, ['length']);
  await engine.close();
});

test('the time to come back is what the queue takes at the measured rate, between 1 s and 60 s', () => {
  const rate = new CompletionRate();
  assert.equal(rate.secondsFor(10, 0), 1);
  for (const time of [0, 500, 1000]) rate.completed(time);
  assert.equal(rate.secondsFor(10, 1000), 5);
  assert.equal(rate.secondsFor(1, 1000), 1);
  assert.equal(rate.secondsFor(1000, 1000), 60);
  assert.equal(rate.secondsFor(10, 4000), 20, 'a stall counts');
});

test('requests of one model leave the queue in the order in which they came', async () => {
  const { engine } = await FakeEngine.start({ maxRows: 2 });
  const order: number[] = [];
  const streams = Array.from({ length: 12 }, (_, i) => engine.submit(submission(1 + (i % 4))));
  await Promise.all(
    streams.map(async stream => {
      const { value } = await stream.next();
      order.push(value!.id);
      assert(value!.queueTime! >= 0);
      await collect(stream);
    }),
  );
  assert.deepEqual(
    order,
    order.toSorted((a, b) => a - b),
  );
  await engine.close();
});

test('a burst that all starts with the next step is not refused, however small the queue', async () => {
  const { engine, loop } = await FakeEngine.start({ maxRows: 8, maxQueue: 2 });
  const burst = Array.from({ length: 10 }, () => engine.submit(submission(20)));
  assert.throws(() => engine.submit(submission(5)), { code: 'queue_full' });
  assert.throws(() => engine.checkQueue('m', 1), { code: 'queue_full' });
  for (const { finishes } of await Promise.all(burst.map(collect))) assert.deepEqual(finishes, ['length']);
  assert.equal(engine.queueDepth, 0);
  engine.checkQueue('m', 8);
  const again = Array.from({ length: 3 }, () => engine.submit(submission(5, { n: 4 })));
  const last = engine.submit(submission(5));
  assert.throws(() => engine.submit(submission(5)), { code: 'queue_full' }, 'rows are counted, not requests');
  await Promise.all([...again, last].map(collect));
  loop.checkIdle();
  await engine.close();
});

test('rows of a request that was cancelled, refused or failed are free for the next', async () => {
  const { engine } = await FakeEngine.start({ maxRows: 2, maxQueue: 1 });
  for (let i = 0; i < 20; i++) {
    const controller = new AbortController();
    const stream = engine.submit(submission(50, { n: 2 }), { signal: controller.signal });
    if (i % 2 === 0) await stream.next();
    controller.abort();
    await collect(stream);
    await assert.rejects(collect(engine.submit(submission(9999))), { code: 'context_length_exceeded' });
    await assert.rejects(collect(engine.submit(submission(50, { deadline: 0 }))), { code: 'deadline_exceeded' });
  }
  assert.equal(engine.queueDepth, 0);
  const both = [engine.submit(submission(5, { n: 2 })), engine.submit(submission(5))];
  assert.throws(() => engine.submit(submission(5)), { code: 'queue_full' });
  await Promise.all(both.map(collect));
  await engine.close();
});

test('the row of an answer that has ended is free while the others of its request go on', async () => {
  const { engine } = await FakeEngine.start({ maxRows: 2, maxQueue: 1 });
  const stream = engine.submit(submission(200, { n: 2 }));
  await stream.next();
  stream.cancel(0);
  for (let { value } = await stream.next(); value?.finish === undefined; ) ({ value } = await stream.next());
  const more = [engine.submit(submission(5)), engine.submit(submission(5))];
  assert.throws(() => engine.submit(submission(5)), { code: 'queue_full' });
  stream.cancel();
  await Promise.all([stream, ...more].map(collect));
  await engine.close();
});

test('waiting tokens are bounded, but one request alone may always wait', async () => {
  const { engine } = await FakeEngine.start({ maxRows: 1, maxQueueTokens: 20 });
  const long = submission(5, { source: new Int32Array(90) });
  const first = engine.submit(long);
  assert.throws(
    () => engine.submit(submission(5)),
    (error: RedllmError) => error.code === 'queue_full' && error.status === 429 && error.retryAfter === 1,
  );
  assert.throws(() => engine.checkQueue('m', 1), { code: 'queue_full' });
  await first.next();
  const waiting = [submission(5), submission(5), submission(5)].map(each => engine.submit(each));
  assert.throws(() => engine.submit(submission(5)), /3 requests with 18 tokens are waiting/);
  await Promise.all([first, ...waiting].map(collect));
  await collect(engine.submit(long));
  await engine.close();
});

test('the queue is full of one model, and the rows of another are free', async () => {
  const models = [fakeModel('m'), fakeModel('d', { encoder: false, decoderPositions: 'zero' })];
  const { engine } = await FakeEngine.start({ maxRows: 1, maxQueue: 1 }, models);
  const streams = [engine.submit(submission(20)), engine.submit(submission(20))];
  assert.throws(() => engine.submit(submission(5)), { code: 'queue_full' });
  streams.push(engine.submit(submission(5, { model: 'd', source: null })));
  await Promise.all(streams.map(collect));
  await engine.close();
});

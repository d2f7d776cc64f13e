/** The queue is bounded: beyond it a submit is refused at once, with the time after which to come back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CompletionRate } from '../src/engine/completion-rate.ts';
import type { RedllmError } from '../src/errors.ts';
import { collect, FakeEngine, submission } from './fixtures/fake-engine.ts';

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

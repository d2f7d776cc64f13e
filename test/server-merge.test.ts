import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { merge } from '../src/server/merge.ts';

let open = 0;

async function* counter(name: string, count: number, delay: number, failAt = -1): AsyncGenerator<string, string> {
  open++;
  try {
    for (let i = 0; i < count; i++) {
      await sleep(delay);
      if (i === failAt) throw new Error(`${name} failed`);
      yield `${name}${i}`;
    }
    return `end of ${name}`;
  } finally {
    open--;
  }
}

test('values come with their place as they arrive, and results in their order', async () => {
  const results: string[] = [];
  const starts = [() => counter('a', 2, 30), () => counter('b', 3, 1)];
  const got: string[] = [];
  for await (const [index, value] of merge(starts, 2, () => {}, results)) got.push(`${index}:${value}`);
  assert.deepEqual(got.toSorted(), ['0:a0', '0:a1', '1:b0', '1:b1', '1:b2']);
  assert.equal(got[0], '1:b0');
  assert.deepEqual(results, ['end of a', 'end of b']);
});

test('no more than `width` run at a time', async () => {
  let most = 0;
  const starts = Array.from({ length: 7 }, (_, i) => () => counter(String(i), 2, 1));
  const results: string[] = [];
  for await (const _ of merge(starts, 3, () => {}, results)) most = Math.max(most, open);
  assert.equal(most, 3);
  assert.equal(results.length, 7);
});

test('the first failure is thrown once the others were stopped', async () => {
  let stopped = 0;
  const starts = [() => counter('a', 100, 2), () => counter('b', 5, 1, 2)];
  const read = async () => {
    for await (const _ of merge(starts, 2, () => stopped++, [])) {
    }
  };
  await assert.rejects(read, /b failed/);
  assert.deepEqual([stopped, open], [1, 0]);
});

test('leaving early ends all of them, whether they wait or their value was just taken', async () => {
  for await (const _ of merge([() => counter('a', 100, 1)], 1, () => {}, [])) break;
  for await (const _ of merge([() => counter('a', 100, 1), () => counter('b', 100, 3)], 2, () => {}, [])) break;
  assert.equal(open, 0);
});

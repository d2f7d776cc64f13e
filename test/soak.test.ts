/** A short soak of a whole server in its own process; bench/serving/soak.ts is the long one. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { runSoak } from '../bench/serving/soak.ts';
import { sharedPath, skipWithout } from './shared.ts';

it('leaves nothing behind after 600 requests, a fifth of them left or cancelled halfway', {
  skip: skipWithout('models', 'g2p-bart-us'),
}, async () => {
  const model = sharedPath('models', 'g2p-bart-us')!;
  const flags = { model, requests: 600, 'warm-up': 300, concurrency: 32, leaving: 0.2, threads: 0, seed: 3 };
  const { findings } = await runSoak(flags, () => {});
  // Memory needs thousands of requests before it says anything.
  const promises = findings.filter(({ promise }) => !promise.startsWith('memory'));
  assert.ok(promises.length >= 4);
  for (const { promise, measured, kept } of promises) assert.ok(kept, `${promise}: ${measured}`);
});

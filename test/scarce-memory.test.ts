/**
 * Real models with so few pages that rows are preempted and caches evicted all the time: every answer is the one that it has with
 * ample memory, bit for bit; sampled, greedy, of several answers, of beams, scored.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Engine } from '../src/engine/engine.ts';
import type { ComputeType } from '../src/models/spec.ts';
import { answerOf, mixedRequests, tinyEngine, tinyModels } from './fixtures/mixed-requests.ts';
import { sharedPath } from './shared.ts';

async function all(engine: Engine, seed: number): Promise<string[]> {
  return Promise.all(mixedRequests(seed).map(request => answerOf(engine, request)));
}

describe('scarce memory', { skip: sharedPath('models', 'tiny') ? false : 'no golden models here' }, () => {
  for (const compute of ['float32', 'bfloat16'] satisfies ComputeType[]) {
    it(`changes no bit of any answer in ${compute}`, async t => {
      const ample = await tinyEngine(compute, 64 << 20);
      t.after(() => ample.close());
      const pageBytes = [...ample.models.values()].map(({ footprint }) => footprint.pageBytes);
      // What the greatest request of the greediest model takes, and little more.
      const scarce = await tinyEngine(compute, Math.max(...pageBytes) * 36);
      t.after(() => scarce.close());
      for (const seed of [1, 2, 3, 4]) {
        const [expected, got] = [await all(ample, seed), await all(scarce, seed)];
        for (const [i, answer] of got.entries())
          assert.equal(answer, expected[i], `request ${i} of ${tinyModels[i % tinyModels.length]}`);
      }
      const stats = await scarce.stats();
      const preemptions = stats.reduce((sum, model) => sum + model.preemptions, 0);
      assert.ok(preemptions > 20, `${preemptions} preemptions`);
    });
  }
});

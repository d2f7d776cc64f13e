/**
 * The whole scheduling side (queue, pages, caches, preemption, plan) against a fake model whose text changes when anything that a
 * row may see is wrong: whatever arrives, in whatever company and with whatever budgets, every answer is the one it gets alone,
 * step by step and one step ahead.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Harness } from './fixtures/engine-harness.ts';
import { type Scenario, scarce, scenarios, tight } from './fixtures/scenarios.ts';

/** Runs `count` scenarios. @returns what was seen in all of them */
function run(count: number, from: fc.Arbitrary<Scenario>) {
  const seen = { preemptions: 0, prefixHits: 0, sourceHits: 0, operations: 0, ahead: 0 };
  fc.assert(
    fc.property(from, scenario => {
      for (const asynchronous of [false, true]) {
        const harness = new Harness(scenario, asynchronous);
        harness.run();
        harness.checkIdle();
        harness.checkAnswers();
        harness.checkOrder();
        for (const runner of harness.runners) {
          const stats = runner.stats();
          seen.preemptions += stats.preemptions;
          seen.prefixHits += stats.prefixHits;
          seen.sourceHits += stats.sourceHits;
          seen.operations += stats.steps;
        }
        for (const { launchesAhead } of harness.natives) seen.ahead += launchesAhead;
        seen.operations += scenario.requests.length;
      }
    }),
    { numRuns: count },
  );
  return seen;
}

test('every answer is the one it gets alone, within the budgets, in order, and nothing is left behind', () => {
  const seen = run(500, scenarios);
  assert(
    seen.operations > 20_000 && seen.ahead > 5000 && seen.prefixHits > 2000 && seen.sourceHits > 20,
    JSON.stringify(seen),
  );
});

test('and so it is where memory is so scarce that rows are preempted all the time', () => {
  const seen = run(300, scarce);
  assert(seen.operations > 20_000 && seen.ahead > 5000 && seen.preemptions > 600, JSON.stringify(seen));
});

test('and where two models share a few pages', () => {
  const seen = run(500, tight);
  assert(seen.operations > 20_000 && seen.ahead > 5000 && seen.prefixHits > 2000, JSON.stringify(seen));
});

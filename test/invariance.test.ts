/**
 * The two promises on numbers, through the whole engine: 64 requests of mixed lengths, models, masks and parameters, in random
 * order and arrival, give bit for bit (tokens and log-probabilities) what each gives alone. Arrival is counted in tokens that
 * others have got, not in time, so that requests meet on a fast machine as on a slow one.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Engine, Submission } from '../src/engine/engine.ts';
import type { ComputeType } from '../src/models/spec.ts';
import { answerOf, mixedRequests, random, tinyEngine } from './fixtures/mixed-requests.ts';
import { sharedPath } from './shared.ts';

/** Runs all in a random order: a third at once, each of the others once the engine has sent as many events as it waits for. */
async function runTogether(engine: Engine, all: Submission[]): Promise<string[]> {
  const next = random(7);
  const waiting = all
    .map((request, i) => ({ request, i, order: next(), after: next() < 0.33 ? 0 : Math.floor(next() * 100) }))
    .sort((a, b) => a.after - b.after || a.order - b.order);
  const answers: string[] = [];
  const running: Promise<void>[] = [];
  let events = 0;
  const arrive = (everyone: boolean) => {
    while (waiting.length > 0 && (everyone || waiting[0]!.after <= events)) {
      const { request, i } = waiting.shift()!;
      running.push(
        answerOf(engine, request, () => {
          events++;
          arrive(false);
        }).then(answer => {
          answers[i] = answer;
        }),
      );
    }
  };
  arrive(false);
  for (let done = 0; done < running.length; done++) {
    await running[done];
    if (done === running.length - 1) arrive(true);
  }
  return answers;
}

describe('company', { skip: sharedPath('models', 'tiny') ? false : 'no golden models here' }, () => {
  for (const compute of ['float32', 'bfloat16'] satisfies ComputeType[]) {
    it(`does not change a bit of a request's answer in ${compute}`, async t => {
      const engine = await tinyEngine(compute, 64 << 20);
      t.after(() => engine.close());
      const all = mixedRequests(20_26);
      const steps = async () => (await engine.stats()).reduce((sum, model) => sum + model.steps, 0);
      const alone: string[] = [];
      for (const request of all) alone.push(await answerOf(engine, request));
      const stepsAlone = await steps();
      const together = await runTogether(engine, all);
      for (const [i, request] of all.entries()) assert.equal(together[i], alone[i], `request ${i} of ${request.model}`);
      assert.ok((await steps()) - stepsAlone < stepsAlone, 'the requests did not share their steps');
    });
  }
});

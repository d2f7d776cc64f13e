/**
 * The two promises on numbers, through the whole engine: 64 requests of mixed lengths, models, masks and parameters, in random
 * order and arrival, give bit for bit (tokens and log-probabilities) what each gives alone. Arrival is counted in tokens that
 * others have got, not in time, so that requests meet on a fast machine as on a slow one.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Engine, type Submission } from '../src/engine/engine.ts';
import type { SamplingParams } from '../src/engine/protocol.ts';
import { describeCheckpoint } from '../src/models/registry.ts';
import type { ComputeType } from '../src/models/spec.ts';
import { greedy } from './fixtures/fake-engine.ts';
import { sharedPath } from './shared.ts';

const names = ['redllm-tiny', 'decllm-tiny', 'decllm-biattn-tiny', 't5-tiny', 'bart-tiny', 'llama-tiny'];
const encodes = new Set(['redllm-tiny', 't5-tiny', 'bart-tiny']);
const maxLength = 256;

/** Mulberry32: small, seeded. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function requests(seed: number): Submission[] {
  const next = random(seed);
  const integer = (low: number, high: number) => low + Math.floor(next() * (high - low + 1));
  const tokens = (count: number) => Int32Array.from({ length: count }, () => integer(3, 383));
  const shared = tokens(40);
  return Array.from({ length: 64 }, (_, i): Submission => {
    const model = names[i % names.length]!;
    const sampled = next() < 0.6;
    const params: SamplingParams = {
      ...greedy,
      maxTokens: integer(1, 24),
      temperature: sampled ? 0.5 + next() : 0,
      topK: next() < 0.3 ? integer(2, 50) : 0,
      topP: next() < 0.3 ? 0.9 : 1,
      minP: next() < 0.2 ? 0.05 : 0,
      repetitionPenalty: next() < 0.3 ? 1.2 : 1,
      presencePenalty: next() < 0.2 ? 0.5 : 0,
      frequencyPenalty: next() < 0.2 ? 0.3 : 0,
      logitBias: next() < 0.2 ? [[integer(3, 383), 4]] : [],
      seed: [integer(0, 2 ** 31), integer(0, 2 ** 31)],
      logprobs: 5,
    };
    const source = next() < 0.3 ? shared : tokens(integer(1, 120));
    const prompt = encodes.has(model) ? Int32Array.of(1, ...tokens(integer(0, 9))) : source;
    return {
      model,
      source: encodes.has(model) ? source : null,
      prompt,
      n: next() < 0.2 ? 3 : 1,
      params,
      deadline: null,
      scored: 0,
      priority: 0,
      client: null,
      cacheSalt: null,
    };
  });
}

/** All that a request gave, as text that differs where any bit of it differs. */
async function run(engine: Engine, request: Submission, onEvent?: () => void): Promise<string> {
  const sequences: unknown[][] = Array.from({ length: request.n }, () => []);
  for await (const event of engine.submit(request)) {
    event.tokens.forEach((token, i) => {
      const { logprob, rank, top } = event.logprobs![i]!;
      sequences[event.index]!.push([token, logprob, rank, top]);
    });
    onEvent?.();
  }
  return JSON.stringify(sequences);
}

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
        run(engine, request, () => {
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
      const engine = await Engine.start({
        isa: 'auto',
        threads: 2,
        maxBatchTokens: 48,
        maxRows: 16,
        kvMemory: 64 << 20,
        maxQueue: 1000,
        maxQueueTokens: 1e9,
      });
      t.after(() => engine.close());
      for (const name of names) {
        const { spec, defaults, weights } = await describeCheckpoint(sharedPath('models', 'tiny', name)!);
        await engine.load({ name, spec, defaults, weights, compute, maxSource: maxLength, maxTarget: maxLength });
      }
      const all = requests(20_26);
      const steps = async () => (await engine.stats()).reduce((sum, model) => sum + model.steps, 0);
      const alone: string[] = [];
      for (const request of all) alone.push(await run(engine, request));
      const stepsAlone = await steps();
      const together = await runTogether(engine, all);
      for (const [i, request] of all.entries()) assert.equal(together[i], alone[i], `request ${i} of ${request.model}`);
      assert.ok((await steps()) - stepsAlone < stepsAlone, 'the requests did not share their steps');
    });
  }
});

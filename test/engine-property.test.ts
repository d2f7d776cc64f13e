/**
 * The whole scheduling side (queue, pages, caches, preemption, plan) against a fake model whose text changes when anything that a
 * row may see is wrong: whatever arrives, in whatever company and with whatever budgets, every answer is the one it gets alone.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FairShare } from '../src/engine/fair-share.ts';
import { MemoryBudget } from '../src/engine/memory-budget.ts';
import { ModelRunner } from '../src/engine/model-runner.ts';
import type { EngineOptions, SamplingParams, SequenceEvent, TokenLogprobs } from '../src/engine/protocol.ts';
import { sequenceSeed } from '../src/engine/sampling.ts';
import { RedllmError } from '../src/errors.ts';
import type { ModelSpec } from '../src/models/spec.ts';
import { expectedAnswer, type FakeModel, FakeRuntime, fakePageBytes, fakeSpec } from './fixtures/fake-model.ts';

const vocabulary = 12;
const maxSource = 30;
const maxTarget = 56;

const shapes = fc.record({
  encoder: fc.boolean(),
  mask: fc.constantFrom('causal' as const, 'prefix' as const),
  decoderPositions: fc.constantFrom('zero' as const, 'after-source' as const),
  encoderLayers: fc.constantFrom(1, 2, 5),
  windows: fc.constantFrom([0], [0, 0], [5], [0, 5], [3, 0, 0, 3], [6, 6, 2, 0]),
});

const tokens = (max: number) => fc.array(fc.nat(vocabulary - 1), { minLength: 1, maxLength: max });

const paramsOf: fc.Arbitrary<SamplingParams> = fc
  .record({
    maxTokens: fc.oneof(fc.integer({ min: 1, max: 15 }), fc.integer({ min: 15, max: 30 })),
    minTokens: fc.constantFrom(0, 0, 3),
    temperature: fc.constantFrom(0, 0, 0.7, 1),
    topK: fc.constantFrom(0, 5),
    topP: fc.constantFrom(1, 0.9),
    minP: fc.constantFrom(0, 0.1),
    repetitionPenalty: fc.constantFrom(1, 1, 1.3),
    presencePenalty: fc.constantFrom(0, 0, 0.5),
    frequencyPenalty: fc.constantFrom(0, 0, 0.25),
    logitBias: fc.array(fc.tuple(fc.nat(vocabulary - 1), fc.integer({ min: -3, max: 3 })), { maxLength: 2 }),
    seed: fc.tuple(fc.nat(0xffffffff), fc.nat(0xffffffff)),
    logprobs: fc.constantFrom(-1, 0, 3),
    stopTokens: fc.constantFrom([], [1], [1, 2]),
    forcedFirst: fc.constantFrom(null, null, 4),
    forcedLast: fc.constantFrom(null, null, 1, 5),
    noRepeatNgram: fc.constantFrom(0, 0, 1, 2),
    badWords: fc.array(fc.array(fc.nat(vocabulary - 1), { minLength: 1, maxLength: 2 }), { maxLength: 2 }),
    allowedTokens: fc.constantFrom(null, null, [3, 7], [1, 4, 5, 6, 8, 9, 10]),
    beam: fc.constant(null),
  })
  .map(params => ({ ...params, endTokens: params.stopTokens.filter(token => token === 1) }));

const plainRequest = fc.record({
  model: fc.nat(1),
  /** Small numbers choose one of a few common sources, so that some are shared. */
  source: fc.oneof(fc.nat(2), tokens(maxSource)),
  /** Small numbers choose a common beginning, so that pages of prompts are shared. */
  prompt: fc.oneof(fc.tuple(fc.nat(2), tokens(6)), tokens(24)),
  n: fc.constantFrom(1, 1, 1, 2, 3),
  params: paramsOf,
  arrival: fc.nat(25),
  priority: fc.constantFrom(0, 0, 0, -1, 1),
  client: fc.constantFrom(null, 'a', 'b'),
  cacheSalt: fc.constantFrom(null, null, null, 'tenant'),
  /** Steps after its arrival at which it, or its first sequence, is cancelled; null: never. */
  cancel: fc.oneof({ weight: 4, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.nat(12) }),
  cancelFirstOnly: fc.boolean(),
  scored: fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(23) }),
  scoredOnly: fc.boolean(),
});

/** What is scored is one sequence with log-probabilities, and only then may nothing be generated. */
const requestOf = plainRequest.map(({ scored: most, scoredOnly, ...request }) => {
  const scored = Math.min(most, promptOf(request).length - 1);
  if (scored === 0) return { ...request, scored };
  const { maxTokens, logprobs } = request.params;
  const params = { ...request.params, maxTokens: scoredOnly ? 0 : maxTokens, logprobs: Math.max(0, logprobs) };
  return { ...request, scored, n: 1, params };
});

const commonSources = [
  [3, 1, 4, 1, 5, 9],
  [2, 7, 1, 8],
  [3, 1, 4, 1, 5, 8],
];

const commonPrompts = [
  [1, 2, 3, 4, 5, 6, 7, 8],
  [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 1, 2],
  [5, 5, 5, 5],
];

function promptOf({ prompt }: { readonly prompt: number[] | [number, number[]] }): number[] {
  const [first, rest] = prompt as [number, number[]];
  return Array.isArray(rest) ? [...commonPrompts[first]!, ...rest] : (prompt as number[]);
}

const scenarios = fc.record({
  shapes: fc.tuple(shapes, shapes),
  requests: fc.array(requestOf, { minLength: 1, maxLength: 14 }),
  maxBatchTokens: fc.integer({ min: 3, max: 60 }),
  maxRows: fc.integer({ min: 3, max: 9 }),
  /** Scores that a step has room for. */
  scores: fc.integer({ min: 1, max: 12 }),
  /** From scarce (one request at a time, some never) to ample. */
  pages: fc.oneof(fc.integer({ min: 8, max: 24 }), fc.integer({ min: 8, max: 60 }), fc.constant(2000)),
});

type Scenario = typeof scenarios extends fc.Arbitrary<infer T> ? T : never;
type Wanted = Scenario['requests'][number];

interface Answer {
  readonly tokens: number[];
  readonly logprobs: number[];
  readonly scores: TokenLogprobs[];
  finish: string | null;
}

class Harness {
  readonly budget: MemoryBudget;
  readonly runners: ModelRunner[] = [];
  readonly natives: FakeModel[];
  readonly specs: ModelSpec[];
  readonly answers = new Map<string, Answer>();
  readonly refused = new Set<number>();
  readonly admitted: number[][] = [[], []];
  readonly wanted: readonly Wanted[];
  readonly options: EngineOptions;

  constructor(scenario: Scenario) {
    const { pages, maxBatchTokens, maxRows } = scenario;
    this.options = {
      isa: 'auto',
      threads: 1,
      maxBatchTokens,
      maxRows,
      kvMemory: pages * fakePageBytes,
      maxQueue: 99,
      maxQueueTokens: 1e9,
    };
    this.wanted = scenario.requests;
    this.budget = new MemoryBudget(this.options.kvMemory);
    this.specs = scenario.shapes.map(shape => fakeSpec({ ...shape, vocabulary }));
    const runtime = new FakeRuntime();
    const shared = { budget: this.budget, fairShare: new FairShare(), now: () => 0 };
    for (const [i, spec] of this.specs.entries()) {
      const model = {
        name: `m${i}`,
        spec,
        compute: 'float32' as const,
        weights: { kind: 'random' as const, seed: 0 },
        defaults: { endTokens: [1] },
        maxSource,
        maxTarget,
      };
      this.runners.push(new ModelRunner(runtime, model, this.options, shared));
      // So small a vocabulary has room for more than these prompts ask.
      (this.runners[i]!.limits as { scores: number }).scores = scenario.scores;
    }
    this.natives = runtime.models;
  }

  source(request: Wanted): number[] | null {
    if (!this.specs[request.model]!.encoder) return null;
    return typeof request.source === 'number' ? commonSources[request.source]! : request.source;
  }

  submit(id: number): void {
    const request = this.wanted[id]!;
    const source = this.source(request);
    const { params, n, priority, client, cacheSalt, scored } = request;
    const prompt = promptOf(request);
    try {
      this.runners[request.model]!.scheduler.submit({
        type: 'submit',
        id,
        model: `m${request.model}`,
        source: source && Int32Array.from(source),
        prompt: Int32Array.from(prompt),
        n,
        params,
        deadline: null,
        scored,
        priority,
        client,
        cacheSalt,
      });
    } catch (error) {
      assert(error instanceof RedllmError && error.code === 'context_length_exceeded', String(error));
      const { maxSource: sources, maxTarget: targets } = this.runners[request.model]!.limits;
      const tooLong = (source?.length ?? 0) > sources || prompt.length + params.maxTokens > targets;
      assert.ok(tooLong || error.param === 'max_tokens', error.message);
      this.refused.add(id);
      return;
    }
    for (let i = 0; i < n; i++) this.answers.set(`${id}/${i}`, { tokens: [], logprobs: [], scores: [], finish: null });
  }

  take(events: readonly SequenceEvent[]): void {
    for (const event of events) {
      const answer = this.answers.get(`${event.id}/${event.index}`);
      assert(answer, 'an event of a request that does not exist');
      assert.equal(answer.finish, null, 'an event after the finish');
      answer.tokens.push(...event.tokens);
      for (const { logprob } of event.logprobs ?? []) answer.logprobs.push(logprob);
      answer.scores.push(...(event.scores ?? []));
      answer.finish = event.finish ?? null;
    }
  }

  /** One step of each model, with everything that must hold after it. @returns whether anything ran */
  step(): boolean {
    let ran = false;
    for (const [i, runner] of this.runners.entries()) {
      const events = runner.step();
      this.admitted[i]!.push(...runner.scheduler.takeAdmitted());
      if (events === null) continue;
      ran = true;
      this.take(events);
      assert(events.flatMap(({ scores }) => scores ?? []).length <= runner.limits.scores, 'too many scores in a step');
      this.checkStep(this.natives[i]!);
      this.checkPages(runner, this.natives[i]!);
    }
    return ran;
  }

  /** A step stays within its budget, or has one thing beside the decode rows that could not be cut. */
  checkStep({ lastStep }: FakeModel): void {
    const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
    const total = lastStep.decodes + sum(lastStep.prompts) + sum(lastStep.sources);
    const alone = lastStep.prompts.length + lastStep.sources.length === 1;
    assert(total <= this.options.maxBatchTokens || alone, `a step of ${total} tokens: ${JSON.stringify(lastStep)}`);
    assert(lastStep.decodes + lastStep.prompts.length <= this.options.maxRows, 'too many rows');
  }

  checkPages(runner: ModelRunner, native: FakeModel): void {
    runner.pool.check();
    assert(this.budget.used <= this.budget.limit);
    const { total } = runner.pool.counts();
    for (let page = 0; page < total; page++) if (runner.pool.references(page) === 0) native.poison(page);
  }

  cancel(id: number): void {
    const { model, cancelFirstOnly } = this.wanted[id]!;
    const runner = this.runners[model]!;
    this.take(runner.scheduler.cancel(id, cancelFirstOnly ? 0 : undefined));
    this.checkPages(runner, this.natives[model]!);
  }

  run(): void {
    const lastArrival = Math.max(...this.wanted.map(request => request.arrival));
    for (let time = 0, ran = true; time <= lastArrival + 12 || ran; time++) {
      assert(time < 3000, 'no end');
      for (const [id, { arrival }] of this.wanted.entries()) if (arrival === time) this.submit(id);
      for (const [id, { arrival, cancel }] of this.wanted.entries()) {
        if (cancel !== null && arrival + cancel === time) this.cancel(id);
      }
      ran = this.step();
    }
  }

  checkAnswers(): void {
    for (const [id, request] of this.wanted.entries()) {
      if (this.refused.has(id)) continue;
      for (let i = 0; i < request.n; i++) {
        const answer = this.answers.get(`${id}/${i}`)!;
        const seed = sequenceSeed(request.params.seed, i);
        const expected = expectedAnswer(
          this.specs[request.model]!,
          this.source(request),
          promptOf(request),
          request.params,
          seed,
          request.scored,
        );
        if (answer.finish === 'cancelled') {
          assert.notEqual(request.cancel, null);
          assert.deepEqual(answer.tokens, expected.tokens.slice(0, answer.tokens.length));
          assert.deepEqual(answer.scores, expected.scores.slice(0, answer.scores.length));
          continue;
        }
        const { tokens, finish } = expected;
        assert.deepEqual({ tokens: answer.tokens, finish: answer.finish }, { tokens, finish }, `answer ${id}/${i}`);
        if (request.params.logprobs >= 0) assert.deepEqual(answer.logprobs, expected.logprobs);
        assert.deepEqual(answer.scores, expected.scores, `scores ${id}`);
      }
    }
  }

  /** Requests of one model, client and class start in the order in which they came. */
  checkOrder(): void {
    for (const ids of this.admitted) {
      const arrivals = (id: number) => this.wanted[id]!.arrival * 1000 + id;
      const last = new Map<string, number>();
      for (const id of ids) {
        const line = `${this.wanted[id]!.client} ${this.wanted[id]!.priority}`;
        assert(arrivals(id) > (last.get(line) ?? -1), `request ${id} was overtaken`);
        last.set(line, arrivals(id));
      }
    }
  }

  checkIdle(): void {
    for (const runner of this.runners) runner.checkIdle();
    this.budget.checkIdle();
  }
}

/** Long answers that arrive together, and memory for the prompts of several but the answers of few. */
const scarce = scenarios.map(scenario => ({
  ...scenario,
  pages: 18 + (scenario.pages % 14),
  requests: scenario.requests.map(({ params, arrival, ...request }) => ({
    ...request,
    arrival: arrival % 4,
    params: { ...params, maxTokens: 20 + (params.maxTokens % 12), stopTokens: [], endTokens: [] },
  })),
}));

/** Runs `count` scenarios. @returns what was seen in all of them */
function run(count: number, from: fc.Arbitrary<Scenario>) {
  const seen = { preemptions: 0, prefixHits: 0, sourceHits: 0, operations: 0 };
  fc.assert(
    fc.property(from, scenario => {
      const harness = new Harness(scenario);
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
      seen.operations += scenario.requests.length;
    }),
    { numRuns: count },
  );
  return seen;
}

test('every answer is the one it gets alone, within the budgets, in order, and nothing is left behind', () => {
  const seen = run(500, scenarios);
  assert(seen.operations > 10_000 && seen.prefixHits > 1000 && seen.sourceHits > 10, JSON.stringify(seen));
});

test('and so it is where memory is so scarce that rows are preempted all the time', () => {
  const seen = run(300, scarce);
  assert(seen.operations > 10_000 && seen.preemptions > 300, JSON.stringify(seen));
});

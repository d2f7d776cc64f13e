/** Beam search over a tiny made-up language model, against the algorithm written down plainly and against trying everything. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type BeamCandidate,
  BeamSearch,
  type BeamSearchOptions,
  beamCandidates,
  type Hypothesis,
} from '../src/engine/beam-search.ts';

/** Next log-probabilities after some tokens, by token. */
type LanguageModel = (tokens: readonly number[]) => number[];

/** Log-probabilities that a hash of all tokens makes, rounded to 32 bits as native code gives them. */
function hashed(seed: number, vocabulary: number, sharpness = 4): LanguageModel {
  return tokens => {
    let hash = seed;
    const mix = (value: number) => {
      hash = Math.imul(hash ^ Math.imul(value + 1, 0x9e3779b1), 0x85ebca6b);
      hash ^= hash >>> 15;
      return (hash >>> 0) / 2 ** 32;
    };
    tokens.forEach(mix);
    const logits = Array.from({ length: vocabulary }, (_, token) => sharpness * mix(token));
    const total = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
    return logits.map(logit => Math.fround(logit - total));
  };
}

function options(more: Partial<BeamSearchOptions> & Partial<BeamSearchOptions['beam']> = {}): BeamSearchOptions {
  const { width = 2, lengthPenalty = 1, earlyStopping = false, patience = null, ...rest } = more;
  return {
    beam: { width, lengthPenalty, earlyStopping, patience },
    wanted: width,
    maxTokens: 8,
    endTokens: new Set([0]),
    lastForced: false,
    logprobs: -1,
    ...rest,
  };
}

interface Outcome {
  readonly results: readonly Hypothesis[];
  /** What was agreed upon before the end. */
  readonly agreed: number[];
  readonly steps: number;
}

/** Drives a search by a model; checks on the way that the beams it names are those it holds. */
function search(model: LanguageModel, how: BeamSearchOptions): Outcome {
  const beams = new BeamSearch(how);
  let live: number[][] = [[]];
  const agreed: number[] = [];
  for (let steps = 1; ; steps++) {
    const step = beams.advance(live.map(tokens => ranked(model(tokens), beams.candidates)));
    live = step.beams.map(({ parent, token }) => [...live[parent]!, token]);
    agreed.push(...step.agreed);
    for (const [i, tokens] of live.entries()) {
      assert.deepEqual(beams.tokens(i), tokens);
      assert.deepEqual(tokens.slice(0, agreed.length), agreed);
    }
    if (step.done) return { results: beams.results(), agreed, steps };
  }
}

function ranked(logprobs: readonly number[], most: number): BeamCandidate[] {
  return logprobs
    .map((logprob, token) => [token, logprob] as const)
    .sort((a, b) => b[1] - a[1])
    .slice(0, most);
}

/** _beam_search, step by step, over whole sequences and the whole vocabulary; one request. */
function definition(model: LanguageModel, how: BeamSearchOptions): { tokens: number[]; score: number }[] {
  const { width, lengthPenalty, earlyStopping } = how.beam;
  const f32 = Math.fround;
  const keep = Math.max(2, 1 + how.endTokens.size) * width;
  let running = [{ tokens: [] as number[], score: 0 }];
  let finished: { tokens: number[]; score: number }[] = [];
  for (let length = 1; ; length++) {
    const top = running
      .flatMap(({ tokens, score }) =>
        model(tokens).map((logprob, token) => ({ tokens: [...tokens, token], score: f32(score + logprob) })),
      )
      .filter(({ score }) => score > Number.NEGATIVE_INFINITY)
      .sort((a, b) => b.score - a.score)
      .slice(0, keep)
      .map(one => ({ ...one, hits: how.endTokens.has(one.tokens.at(-1)!) || length === how.maxTokens }));
    running = top.filter(({ hits }) => !hits).slice(0, width);
    const justFinished = top.slice(0, width).filter(({ hits }) => hits);
    finished = [
      ...finished,
      ...justFinished.map(({ tokens, score }) => ({ tokens, score: f32(score / f32(length ** lengthPenalty)) })),
    ]
      .sort((a, b) => b.score - a.score)
      .slice(0, width);
    const full = finished.length === width;
    const hypothetical = earlyStopping === 'never' && lengthPenalty > 0 ? how.maxTokens : length;
    const possible = f32((running[0]?.score ?? Number.NEGATIVE_INFINITY) / f32(hypothetical ** lengthPenalty));
    const improvable = possible > (full ? finished.at(-1)!.score : -1e9);
    if (!improvable || (full && earlyStopping === true) || top.every(({ hits }) => hits)) return finished;
  }
}

const searches = fc
  .record({
    seed: fc.integer(),
    sharpness: fc.constantFrom(0.5, 4, 12),
    width: fc.integer({ min: 1, max: 5 }),
    lengthPenalty: fc.constantFrom(-1, 0, 0.6, 1, 2),
    earlyStopping: fc.constantFrom(true, false, 'never' as const),
    maxTokens: fc.integer({ min: 1, max: 12 }),
    ends: fc.integer({ min: 0, max: 3 }),
    spare: fc.integer({ min: 0, max: 6 }),
  })
  .map(({ seed, sharpness, ends, spare, ...rest }) => ({
    model: hashed(seed, rest.width + ends + 1 + spare, sharpness),
    how: options({ ...rest, endTokens: new Set(Array.from({ length: ends }, (_, token) => token)) }),
  }));

test('keeps, scores and stops as the definition says', () => {
  fc.assert(
    fc.property(searches, ({ model, how }) => {
      const { results } = search(model, how);
      const expected = definition(model, how);
      assert.deepEqual(
        results.slice(0, expected.length).map(({ tokens, score }) => ({ tokens, score })),
        expected,
      );
    }),
    { numRuns: 500 },
  );
});

test('what was agreed upon is always how the best hypothesis begins', () => {
  const patience = fc.option(fc.constantFrom(0.5, 1, 2, 3), { nil: null });
  fc.assert(
    fc.property(searches, patience, fc.integer({ min: 1, max: 5 }), ({ model, how }, patience, wanted) => {
      const beam = { ...how.beam, patience };
      const { results, agreed } = search(model, { ...how, beam, wanted: Math.min(wanted, beam.width) });
      assert.deepEqual(results[0]!.tokens.slice(0, agreed.length), agreed);
    }),
    { numRuns: 500 },
  );
});

test('finds the best there is where nothing is left out', () => {
  for (const lengthPenalty of [0, 1, 2]) {
    const model = hashed(5, 3);
    const how = options({ width: 100, wanted: 3, maxTokens: 4, lengthPenalty, earlyStopping: 'never' });
    const all: { tokens: number[]; score: number }[] = [];
    const grow = (tokens: number[], total: number) => {
      for (const [token, logprob] of model(tokens).entries()) {
        const [longer, sum] = [[...tokens, token], Math.fround(total + logprob)];
        const score = Math.fround(sum / Math.fround(longer.length ** lengthPenalty));
        if (token === 0 || longer.length === 4) all.push({ tokens: longer, score });
        else grow(longer, sum);
      }
    };
    grow([], 0);
    all.sort((a, b) => b.score - a.score);
    assert.deepEqual(
      search(model, how).results.map(({ tokens, score }) => ({ tokens, score })),
      all.slice(0, 3),
    );
  }
});

test('one beam is greedy, and says each token at once', () => {
  const model = hashed(3, 9);
  const { results, agreed } = search(model, options({ width: 1, maxTokens: 6, endTokens: new Set() }));
  const greedy: number[] = [];
  while (greedy.length < 6) greedy.push(ranked(model(greedy), 1)[0]![0]);
  assert.deepEqual(results[0]!.tokens, greedy);
  assert.equal(results[0]!.finish, 'length');
  assert.deepEqual(agreed, greedy.slice(0, 5));
});

test('a beam that ends below the best `width` is no hypothesis', () => {
  // Tokens 1 and 2 lead; 0 ends and comes third.
  const model: LanguageModel = tokens => (tokens.length === 0 ? [-3, -1, -2, -4] : [-5, -1, -2, -4]);
  const { results } = search(model, options({ maxTokens: 2 }));
  assert.deepEqual(
    results.map(({ tokens }) => tokens),
    [
      [1, 1],
      [1, 2],
    ],
  );
});

test('patience is how many hypotheses end the search, in widths', () => {
  const model = hashed(11, 6, 1);
  const runs = [1, 2, 4].map(patience => search(model, options({ patience, maxTokens: 40, lengthPenalty: 0 })));
  assert.ok(runs[0]!.steps < runs[1]!.steps && runs[1]!.steps < runs[2]!.steps);
  const early = search(model, options({ earlyStopping: true, maxTokens: 40, lengthPenalty: 0 }));
  assert.deepEqual(runs[0]!.results, early.results, 'patience of 1 is early stopping');
});

test('forced tokens cost nothing; who reaches a forced last token was cut', () => {
  const how = options({ maxTokens: 3, lastForced: true, logprobs: 1 });
  const beams = new BeamSearch(how);
  assert.deepEqual(beams.advance([[[7, 0]]]), {
    beams: [{ parent: 0, token: 7, logprob: 0 }],
    agreed: [7],
    agreedLogprobs: [{ logprob: 0, rank: 1, top: [[7, 0]] }],
    done: false,
  });
  const second = beams.advance([
    [
      [4, -0.5],
      [5, -1],
      [0, -3],
    ],
  ]);
  assert.deepEqual([second.beams.length, second.agreed], [2, []]);
  assert.deepEqual(beams.advance([[[0, 0]], [[0, 0]]]).done, true);
  const [first, other] = beams.results();
  assert.deepEqual(first!.tokens, [7, 4, 0]);
  assert.deepEqual([first!.finish, first!.score, other!.score], ['length', Math.fround(-0.5 / 3), Math.fround(-1 / 3)]);
  assert.deepEqual(other!.logprobs[1], { logprob: -1, rank: 2, top: [[4, -0.5]] });
});

test('gives as many hypotheses as wanted even where fewer differ, or none can be', () => {
  const forced = new BeamSearch(options({ maxTokens: 1 }));
  forced.advance([[[7, 0]]]);
  assert.deepEqual(
    forced.results().map(({ tokens }) => tokens),
    [[7], [7]],
  );
  const barred = new BeamSearch(options());
  assert.equal(barred.advance([[[3, Number.NEGATIVE_INFINITY]]]).done, true);
  assert.deepEqual(
    barred.results().map(({ tokens, finish }) => [tokens, finish]),
    [
      [[], 'length'],
      [[], 'length'],
    ],
  );
});

test('asks each beam for enough that width of them go on', () => {
  assert.deepEqual([beamCandidates(4, 0), beamCandidates(4, 1), beamCandidates(4, 3)], [8, 8, 16]);
});

test('beams of twenty thousand tokens are no trouble', () => {
  const beams = new BeamSearch(options({ width: 4, maxTokens: 1e6, endTokens: new Set(), logprobs: 0 }));
  const row = (base: number): BeamCandidate[] => [
    [base, -0.1],
    [base + 1, -0.1],
    [base + 2, -3],
  ];
  let live = beams.advance([row(0)]).beams.length;
  for (let i = 0; i < 20_000; i++)
    live = beams.advance(Array.from({ length: live }, (_, beam) => row(beam))).beams.length;
  assert.equal(live, 4);
});

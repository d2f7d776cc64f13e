/** Beam search token for token against transformers: the search alone over each model's own logits, and the whole engine. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type BeamCandidate, BeamSearch } from '../src/engine/beam-search.ts';
import { Engine, type Submission } from '../src/engine/engine.ts';
import type { BeamParams } from '../src/engine/protocol.ts';
import { describeCheckpoint } from '../src/models/registry.ts';
import { packageRoot } from '../src/package-root.ts';
import { DirectModel } from './fixtures/direct.ts';
import { greedy } from './fixtures/fake-engine.ts';
import { sharedPath, testDevice } from './shared.ts';

/** As test/goldens/beams.py writes them. */
interface Goldens {
  readonly maxTokens: number;
  readonly models: Readonly<Record<string, { readonly sources: number[][]; readonly cases: Case[] }>>;
}

interface Case {
  readonly source: number;
  readonly width: number;
  readonly ends: number[];
  readonly length_penalty: number;
  readonly early_stopping: boolean | 'never';
  readonly min_tokens?: number;
  readonly forced_first?: number;
  readonly forced_last?: number;
  readonly hypotheses: { readonly tokens: number[]; readonly score: number }[];
}

const goldens: Goldens = JSON.parse(readFileSync(join(packageRoot, 'test', 'fixtures', 'beams.json'), 'utf8'));

const beamOf = ({ width, length_penalty, early_stopping }: Case): BeamParams => ({
  width,
  lengthPenalty: length_penalty,
  earlyStopping: early_stopping,
  patience: null,
});

function check(one: Case, place: number, answers: readonly { tokens: readonly number[]; score: number }[]): void {
  const { hypotheses, ...what } = one;
  const label = `case ${place}: ${JSON.stringify(what)}`;
  assert.deepEqual(
    answers.map(({ tokens }) => tokens),
    hypotheses.map(({ tokens }) => tokens),
    label,
  );
  for (const [i, { score }] of hypotheses.entries())
    assert.ok(Math.abs(answers[i]!.score - score) < 1e-4, `${label}: ${answers[i]!.score}, not ${score}`);
}

/** The most probable tokens after some, of a model that is asked once for each. */
class Candidates {
  readonly #model: DirectModel;
  readonly #known = new Map<string, BeamCandidate[]>();

  constructor(model: DirectModel) {
    this.#model = model;
  }

  after(source: readonly number[], tokens: readonly number[]): BeamCandidate[] {
    const key = `${source.length}:${tokens.join()}`;
    const known = this.#known.get(key) ?? this.#ask(source, tokens);
    this.#known.set(key, known);
    return known;
  }

  #ask(source: readonly number[], tokens: readonly number[]): BeamCandidate[] {
    const { startToken } = this.#model.description.defaults;
    const logits = [...this.#model.greedy(source, [startToken!, ...tokens], 1).logits[0]!];
    const total = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
    return logits
      .map((logit, token) => [token, Math.fround(logit - total)] as const)
      .sort((a, b) => b[1] - a[1])
      .slice(0, 64);
  }
}

function searched(candidates: Candidates, source: readonly number[], one: Case) {
  const { maxTokens } = goldens;
  const search = new BeamSearch({
    beam: beamOf(one),
    wanted: one.width,
    maxTokens,
    endTokens: new Set(one.ends),
    lastForced: one.forced_last !== undefined,
    logprobs: -1,
  });
  for (let live: number[][] = [[]]; ; ) {
    const step = search.advance(
      live.map(tokens => {
        const forced =
          tokens.length === maxTokens - 1 ? one.forced_last : tokens.length === 0 ? one.forced_first : undefined;
        if (forced !== undefined) return [[forced, 0] as const];
        const early = tokens.length < (one.min_tokens ?? 0);
        return candidates.after(source, tokens).filter(([token]) => !(early && one.ends.includes(token)));
      }),
    );
    if (step.done) return search.results();
    live = step.beams.map((_, beam) => search.tokens(beam));
  }
}

describe("g2p-bart-us's four beams", {
  skip: sharedPath('models', 'g2p-bart-us') ? false : 'no trained models here',
}, () => {
  it('are the golden ones for each of the 200 words, by the search alone', async () => {
    const directory = sharedPath('models', 'g2p-bart-us')!;
    const words: { word: string; input_ids: number[]; beam4: number[] }[] = JSON.parse(
      readFileSync(join(directory, 'golden.json'), 'utf8'),
    );
    const model = await DirectModel.load(directory, 'float32');
    const how = {
      source: 0,
      width: 4,
      ends: [2],
      length_penalty: 1,
      early_stopping: false,
      forced_last: 2,
      hypotheses: [],
    };
    for (const { word, input_ids, beam4 } of words) {
      const [best] = searched(new Candidates(model), input_ids, how);
      assert.deepEqual([1, ...best!.tokens], beam4, word);
    }
    model.free();
  });
});

function submission(model: string, source: readonly number[], start: number, one: Case): Submission {
  return {
    model,
    source: Int32Array.from(source),
    prompt: Int32Array.of(start),
    n: one.width,
    params: {
      ...greedy,
      maxTokens: goldens.maxTokens,
      minTokens: one.min_tokens ?? 0,
      stopTokens: one.ends,
      endTokens: one.ends,
      forcedFirst: one.forced_first ?? null,
      forcedLast: one.forced_last ?? null,
      beam: beamOf(one),
    },
    deadline: null,
    scored: 0,
    priority: 0,
    client: null,
    cacheSalt: null,
  };
}

/** The hypotheses as their events bring them. */
async function answered(engine: Engine, request: Submission): Promise<{ tokens: number[]; score: number }[]> {
  const answers = Array.from({ length: request.n }, () => ({ tokens: [] as number[], score: Number.NaN }));
  for await (const event of engine.submit(request)) {
    answers[event.index]!.tokens.push(...event.tokens);
    if (event.finish) answers[event.index]!.score = event.beamScore ?? Number.NaN;
  }
  return answers;
}

for (const [name, { sources, cases }] of Object.entries(goldens.models)) {
  const directory = sharedPath('models', 'tiny', name);
  describe(`${name}'s beams against transformers`, { skip: directory ? false : 'no golden models here' }, () => {
    it('the search gives their tokens and scores over the logits alone', async () => {
      const model = await DirectModel.load(directory!, 'float32');
      const candidates = new Candidates(model);
      for (const [i, one] of cases.entries()) check(one, i, searched(candidates, sources[one.source]!, one));
      model.free();
    });

    it('the engine gives them alone, and all at once', async t => {
      const engine = await Engine.start({
        ...testDevice,
        isa: 'auto',
        threads: 2,
        maxBatchTokens: 256,
        maxRows: 32,
        kvMemory: 64 << 20,
        maxQueue: 1000,
        maxQueueTokens: 1e9,
      });
      t.after(() => engine.close());
      const { spec, defaults, weights } = await describeCheckpoint(directory!);
      await engine.load({ name, spec, defaults, weights, compute: 'float32', maxSource: 64, maxTarget: 64 });
      const requests = cases.map(one => submission(name, sources[one.source]!, defaults.startToken!, one));
      for (let i = 0; i < cases.length; i += 7) check(cases[i]!, i, await answered(engine, requests[i]!));
      const together = await Promise.all(requests.map(request => answered(engine, request)));
      for (const [i, one] of cases.entries()) check(one, i, together[i]!);
    });
  });
}

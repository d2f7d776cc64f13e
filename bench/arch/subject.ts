/** A model under test, in an engine without a server: requests of given lengths go in, and when their tokens came comes out. */
import { performance } from 'node:perf_hooks';
import type { Engine, LoadedModel } from '../../src/engine/engine.ts';
import type { ModelStats } from '../../src/engine/protocol.ts';
import type { ComputeType, ModelSpec } from '../../src/models/spec.ts';
import { submission } from '../../test/fixtures/fake-engine.ts';
import { inParallel } from '../parallel.ts';
import { type Draw, mean } from '../statistics.ts';
import type { Place } from './place.ts';

export interface Asked {
  /** What the answer is to: the source of an encoder-decoder, the prompt of a decoder-only model. */
  readonly source: Int32Array;
  /** Tokens of the answer that are there already: computed in one pass, as a prompt of the decoder. An encoder-decoder's start token stands for the first. */
  readonly given?: Int32Array;
  /** Tokens to generate: exactly so many. */
  readonly answer: number;
  readonly n?: number;
}

/** Milliseconds from when a request was submitted. */
export interface Timing {
  /** To the first token of the first of its answers, and to the last token of the last. */
  readonly first: number;
  readonly last: number;
  /** Between two tokens of an answer, on average over its answers; NaN where they have one token. */
  readonly between: number;
  readonly tokens: number;
  /** Source and prompt tokens that a cache held. */
  readonly cached: number;
}

/** What many requests took, each for itself and all together. */
export interface Answered {
  readonly timings: readonly Timing[];
  readonly seconds: number;
}

const startToken = 1;

export class Subject {
  readonly name: string;
  readonly spec: ModelSpec;
  readonly compute: ComputeType;
  readonly loaded: LoadedModel;
  readonly #engine: Engine;

  constructor(engine: Engine, model: { name: string; spec: ModelSpec; compute: ComputeType; loaded: LoadedModel }) {
    this.#engine = engine;
    this.name = model.name;
    this.spec = model.spec;
    this.compute = model.compute;
    this.loaded = model.loaded;
  }

  get encodes(): boolean {
    return this.spec.encoder !== undefined;
  }

  /** Tokens that nobody has seen before. */
  draw(draw: Draw, count: number): Int32Array {
    return draw.tokens(count, this.spec.vocabulary.source);
  }

  /** Whether so many rows of that length could be held at once, beside their sources. */
  holds({ source, decoder, rows, sources }: Place['needs']): boolean {
    const { maxSource, maxTarget } = this.loaded;
    const target = this.encodes ? decoder : source + decoder;
    if (target > maxTarget || (this.encodes && source > maxSource)) return false;
    return this.#engine.roomFor(this.name, this.encodes ? source * sources : 0, rows) >= target;
  }

  async stats(): Promise<ModelStats> {
    return (await this.#engine.stats()).find(({ model }) => model === this.name)!;
  }

  /** Bytes of the pages that so many requests hold at their end; the last token is chosen and never computed. */
  heldBytes({ source, answer, batch }: { source: number; answer: number; batch: number }): number {
    const { groups, pageTokens, pageBytes } = this.loaded.footprint;
    const pages = groups.map(({ kind }) => {
      const decoder = this.encodes ? answer : source + answer - 1;
      return Math.ceil((kind === 'cross' ? source : decoder) / pageTokens);
    });
    return batch * pages.reduce((sum, count) => sum + count, 0) * pageBytes;
  }

  async ask({ source, given = new Int32Array(0), answer, n = 1 }: Asked): Promise<Timing> {
    const request = this.encodes
      ? { source, prompt: joined([startToken], given.subarray(1)) }
      : { source: null, prompt: joined(source, given) };
    const start = performance.now();
    const answers = Array.from({ length: n }, () => ({ first: Number.NaN, last: Number.NaN, tokens: 0 }));
    let cached = 0;
    for await (const event of this.#engine.submit({ ...submission(answer, request), model: this.name, n })) {
      const at = performance.now() - start;
      const mine = answers[event.index]!;
      if (mine.tokens === 0) mine.first = at;
      mine.last = at;
      mine.tokens += event.tokens.length;
      cached = event.cachedTokens ?? cached;
    }
    return {
      first: Math.min(...answers.map(({ first }) => first)),
      last: Math.max(...answers.map(({ last }) => last)),
      between: mean(answers.map(({ first, last, tokens }) => (last - first) / (tokens - 1))),
      tokens: answers.reduce((sum, { tokens }) => sum + tokens, 0),
      cached,
    };
  }

  /** All of them, `atOnce` at a time; the next is asked when one is done. */
  async askAll(requests: readonly Asked[], atOnce = requests.length): Promise<Answered> {
    const start = performance.now();
    const timings = await inParallel(requests, atOnce, asked => this.ask(asked));
    return { timings, seconds: (performance.now() - start) / 1000 };
  }
}

/** Means over the requests, and the rate of all of them. */
export function sampleOf({ timings, seconds }: Answered) {
  return {
    ttft_ms: mean(timings.map(({ first }) => first)),
    tpot_ms: mean(timings.map(({ between }) => between)),
    e2e_ms: mean(timings.map(({ last }) => last)),
    tokens_per_second: timings.reduce((sum, { tokens }) => sum + tokens, 0) / seconds,
  };
}

function joined(a: ArrayLike<number>, b: Int32Array): Int32Array {
  const all = new Int32Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}

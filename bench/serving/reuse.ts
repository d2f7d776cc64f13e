/**
 * What a source or a causal prefix that was seen before saves: time to the first token of a new one and of the same again, beside
 * one decode step; and the pages that n answers to one prompt take. Random weights, the engine without a server.
 */
import { performance } from 'node:perf_hooks';
import type { Engine, Submission } from '../../src/engine/engine.ts';
import type { ModelStats } from '../../src/engine/protocol.ts';
import { submission } from '../../test/fixtures/fake-engine.ts';
import { vocabulary, withRandomModel } from '../random-model.ts';
import { Draw, median } from '../statistics.ts';
import { shown } from '../table.ts';
import type { Benchmark, Finding, Outcome } from './report.ts';

const flags = {
  size: '150m',
  lengths: '64,128,256,512',
  repetitions: 7,
  /** Decode steps that are timed after each first token. */
  tokens: 6,
  /** Threads that compute; 0: as many as the process may use. */
  threads: 0,
  seed: 1,
};
type ReuseFlags = typeof flags;

const kinds = ['redllm', 'decllm'] as const;
type Kind = (typeof kinds)[number];

const startToken = Int32Array.of(1);
/** Tokens after a causal prefix, other ones each time: what a cache of prefixes cannot have. */
const tailTokens = 8;
const many = 8;

interface Timed {
  readonly kind: Kind;
  readonly length: number;
  /** Milliseconds to the first token of what is new, and of the same source or prefix when the first request has ended. */
  readonly first: number;
  readonly again: number;
  /** Milliseconds of one decode step of a request alone. */
  readonly decode: number;
  /** Of the second request: tokens that a cache held, as its first event says. */
  readonly cached: number;
}

/** Pages that requests in progress hold: those that only a cache holds are left out. */
interface Pages {
  readonly kind: Kind;
  readonly length: number;
  readonly n: number;
  readonly self: number;
  readonly cross: number;
}

export const reuse: Benchmark<ReuseFlags> = {
  about: 'first token of a repeated source or prefix, and pages of n answers',
  flags,
  run: async (given, say) => {
    const timed: Timed[] = [];
    const pages: Pages[] = [];
    for (const kind of kinds) {
      const name = `${kind}-${given.size}`;
      await withRandomModel(name, { maxModelLen: 1024, threads: given.threads }, say, async engine => {
        const bench = new Reuse(engine, kind, name, given);
        timed.push(...(await bench.times(say)));
        pages.push(...(await bench.pages()));
      });
    }
    return outcomeOf(timed, pages);
  },
};

class Reuse {
  readonly #engine: Engine;
  readonly #kind: Kind;
  readonly #model: string;
  readonly #flags: ReuseFlags;
  readonly #lengths: readonly number[];
  readonly #draw: Draw;

  constructor(engine: Engine, kind: Kind, model: string, given: ReuseFlags) {
    this.#engine = engine;
    this.#kind = kind;
    this.#model = model;
    this.#flags = given;
    this.#lengths = given.lengths.split(',').map(Number);
    this.#draw = new Draw(given.seed);
  }

  /** All lengths in turn, again and again, so that whatever else the machine does falls on all of them alike. */
  async times(say: (line: string) => void): Promise<Timed[]> {
    const timed: Timed[] = [];
    // The first touches memory that nobody touched before: it is not counted.
    for (let repetition = 0; repetition <= this.#flags.repetitions; repetition++) {
      say(`${this.#model}: repetition ${repetition} of ${this.#flags.repetitions}`);
      for (const length of this.#lengths) {
        const shared = this.#draw.tokens(length, vocabulary);
        const first = await this.#time(shared);
        const again = await this.#time(shared);
        const decode = median([...first.gaps, ...again.gaps]);
        const one = { kind: this.#kind, length, first: first.first, again: again.first, decode, cached: again.cached };
        if (repetition > 0) timed.push(one);
      }
    }
    return timed;
  }

  async #time(shared: Int32Array): Promise<{ first: number; gaps: number[]; cached: number }> {
    const times = [performance.now()];
    let cached = 0;
    for await (const event of this.#engine.submit(this.#request(shared, 1 + this.#flags.tokens, 1))) {
      times.push(performance.now());
      cached = event.cachedTokens ?? cached;
    }
    const [first, ...gaps] = times.slice(1).map((time, i) => time - times[i]!);
    return { first: first!, gaps, cached };
  }

  /** Pages of one answer and of many to a new prompt, when each answer has its first tokens. */
  async pages(): Promise<Pages[]> {
    const counted: Pages[] = [];
    for (const length of this.#lengths) {
      for (const n of [1, many]) {
        const begun = new Set<number>();
        for await (const event of this.#engine.submit(this.#request(this.#draw.tokens(length, vocabulary), 64, n))) {
          begun.add(event.index);
          if (begun.size < n) continue;
          counted.push({ kind: this.#kind, length, n, ...inUse((await this.#engine.stats())[0]!) });
          break;
        }
      }
    }
    return counted;
  }

  #request(shared: Int32Array, maxTokens: number, n: number): Submission {
    const tail = this.#draw.tokens(tailTokens, vocabulary);
    return {
      ...submission(maxTokens, {
        source: this.#kind === 'redllm' ? shared : null,
        prompt: this.#kind === 'redllm' ? startToken : Int32Array.of(...shared, ...tail),
      }),
      model: this.#model,
      n,
    };
  }
}

function inUse({ pages }: ModelStats): { self: number; cross: number } {
  return { self: pages.self - pages.cachedSelf, cross: pages.cross - pages.cachedCross };
}

function outcomeOf(timed: readonly Timed[], pages: readonly Pages[]): Outcome {
  const table: Outcome['table'][number][] = [];
  const findings: Finding[] = [];
  for (const kind of kinds) {
    for (const length of new Set(timed.map(one => one.length))) {
      const all = timed.filter(one => one.kind === kind && one.length === length);
      const of = (read: (one: Timed) => number) => median(all.map(read));
      const counted = (n: number) => pages.find(one => one.kind === kind && one.length === length && one.n === n)!;
      const [one, more] = [counted(1), counted(many)];
      const toDecode = of(({ again, decode }) => again / decode);
      table.push({
        case: `${kind} ${length}`,
        'first ms': shown(of(({ first }) => first)),
        'again ms': shown(of(({ again }) => again)),
        'decode ms': shown(of(({ decode }) => decode)),
        'again/first': shown(of(({ first, again }) => again / first)),
        'again/decode': shown(toDecode),
        cached: of(({ cached }) => cached),
        'self n=1': one.self,
        [`self n=${many}`]: more.self,
        'cross n=1': one.cross,
        [`cross n=${many}`]: more.cross,
      });
      findings.push({
        promise:
          kind === 'redllm'
            ? `a repeated source of ${length} costs about a decode step`
            : `a repeated prefix of ${length} and ${tailTokens} tokens cost less than two decode steps`,
        measured: `${shown(toDecode)} decode steps`,
        kept: toDecode < (kind === 'redllm' ? 1.5 : 2),
      });
      const shares = kind === 'redllm' ? more.cross === one.cross : more.self < many * one.self;
      findings.push({
        promise: `${many} answers to one prompt of ${length} ${kind} tokens share its pages`,
        measured: `${one.self} self and ${one.cross} cross pages for one, ${more.self} and ${more.cross} for ${many}`,
        kept: shares,
      });
    }
  }
  return { table, findings, measured: { timed, pages } };
}

/**
 * How long a running stream waits for its next token while sources are encoded: at most a step, which holds its decode rows and
 * either as many other tokens as the step's budget or one layer of a source that is longer, with the cross keys and values if it
 * is the last (scheduler.ts).
 */
import { performance } from 'node:perf_hooks';
import type { Engine, Submission } from '../../src/engine/engine.ts';
import { submission } from '../../test/fixtures/fake-engine.ts';
import { vocabulary, withRandomModel } from '../random-model.ts';
import { Draw, median, quantile } from '../statistics.ts';
import { shown } from '../table.ts';
import type { Benchmark, Finding, Outcome } from './report.ts';

const flags = {
  size: '150m',
  lengths: '64,256,1024,2048',
  /** Tokens of a step beside its decode rows. */
  'batch-tokens': 256,
  /** Tokens of the stream that is watched, for each length. */
  tokens: 120,
  repetitions: 3,
  threads: 0,
  seed: 1,
};
type GapFlags = typeof flags;

interface Measured {
  readonly length: number;
  /** Milliseconds between two tokens of the stream: alone, and while sources of this length are encoded one after the other. */
  readonly alone: number[];
  readonly beside: number[];
  /** Milliseconds to encode such a source alone, all layers, and to its first token. */
  readonly source: number;
  /** Of them, encoder passes that the stream stood beside. */
  readonly encoded: number;
}

export const gap: Benchmark<GapFlags> = {
  about: 'how long a stream waits for a token while sources are encoded',
  flags,
  run: (given, say) => {
    const lengths = given.lengths.split(',').map(Number);
    const settings = {
      threads: given.threads,
      maxBatchTokens: given['batch-tokens'],
      maxModelLen: 2 * Math.max(...lengths),
    };
    const name = `redllm-${given.size}`;
    return withRandomModel(name, settings, say, async engine => {
      const bench = new Gap(engine, name, given);
      const measured: Measured[] = [];
      for (let repetition = 0; repetition <= given.repetitions; repetition++) {
        say(`repetition ${repetition} of ${given.repetitions}`);
        for (const length of [given['batch-tokens'], ...lengths]) {
          const one = await bench.measure(length);
          // The first touches memory that nobody touched before.
          if (repetition > 0) measured.push(one);
        }
      }
      return outcomeOf(measured, lengths, given['batch-tokens']);
    });
  },
};

class Gap {
  readonly #engine: Engine;
  readonly #model: string;
  readonly #flags: GapFlags;
  readonly #draw: Draw;

  constructor(engine: Engine, model: string, given: GapFlags) {
    this.#engine = engine;
    this.#model = model;
    this.#flags = given;
    this.#draw = new Draw(given.seed);
  }

  async measure(length: number): Promise<Measured> {
    const start = performance.now();
    await this.#drain(this.#request(length, 1));
    const source = performance.now() - start;
    const alone = await this.#gaps();
    let [running, encoded] = [true, 0];
    const sources = (async () => {
      for (; running; encoded++) await this.#drain(this.#request(length, 1));
    })();
    const beside = await this.#gaps();
    running = false;
    await sources;
    return { length, alone, beside, source, encoded };
  }

  /** Milliseconds between the tokens of one stream. */
  async #gaps(): Promise<number[]> {
    const times: number[] = [];
    for await (const _ of this.#engine.submit(this.#request(16, this.#flags.tokens))) times.push(performance.now());
    return times.slice(1).map((time, i) => time - times[i]!);
  }

  async #drain(request: Submission): Promise<void> {
    for await (const _ of this.#engine.submit(request));
  }

  #request(length: number, maxTokens: number): Submission {
    const source = this.#draw.tokens(length, vocabulary);
    return { ...submission(maxTokens, { source, prompt: Int32Array.of(1) }), model: this.#model };
  }
}

/**
 * The greatest part of a source's work that one step may hold: its last layer (16 width² multiplications a token: four of attention,
 * twelve of the gated feed-forward) and the cross keys and values of all decoder layers (2 width² each). With three layers on both
 * sides, as at 150M; more layers make it less.
 */
const greatestPart = (16 + 2 * 3) / (3 * 16 + 3 * 2);

function outcomeOf(measured: readonly Measured[], lengths: readonly number[], batch: number): Outcome {
  const of = (length: number, read: (one: Measured) => number) =>
    median(measured.filter(one => one.length === length).map(read));
  const table: Outcome['table'][number][] = [];
  const findings: Finding[] = [];
  for (const length of lengths) {
    const decode = of(length, ({ alone }) => median(alone));
    const source = of(length, one => one.source);
    const bound =
      decode +
      Math.max(
        of(batch, one => one.source),
        source * greatestPart,
      );
    const worst = of(length, ({ beside }) => quantile(beside, 0.99));
    table.push({
      source: length,
      'decode ms': shown(decode),
      'encode alone ms': shown(source),
      'gap p50 ms': shown(of(length, ({ beside }) => median(beside))),
      'gap p99 ms': shown(worst),
      'bound ms': shown(bound),
      encoded: of(length, ({ encoded }) => encoded),
    });
    findings.push({
      promise: `a stream beside sources of ${length} waits a step of ${batch} tokens, or of one layer, at most`,
      measured: `p99 ${shown(worst)} ms of ${shown(bound)} ms`,
      kept: worst < 1.25 * bound,
    });
  }
  return { table, findings, measured };
}

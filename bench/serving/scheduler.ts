/**
 * What the policy itself costs: microseconds a step beside native code, with a full batch of decoding rows; after many
 * requests have come and gone, and with many more behind.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { EngineOptions, ModelToLoad, SubmitMessage } from '../../src/engine/protocol.ts';
import { submission } from '../../test/fixtures/fake-engine.ts';
import { fakeSpec } from '../../test/fixtures/fake-spec.ts';
import { Draw, median, quantile } from '../statistics.ts';
import { shown } from '../table.ts';
import { nullPageBytes } from './null-native.ts';
import type { Benchmark, Finding, Outcome } from './report.ts';
import { LoopStepper, RunnerStepper, type Stepper } from './stepper.ts';

const flags = {
  rows: 256,
  /** Steps that are timed. */
  steps: 500,
  repetitions: 5,
  /** Pages of the pool. */
  pages: 65_536,
  seed: 1,
};
type SchedulerFlags = typeof flags;

const shapes = ['encoder-decoder', 'decoder-only'] as const;
type Shape = (typeof shapes)[number];

const levels = { step: RunnerStepper, turn: LoopStepper };
type Level = keyof typeof levels;

/** Requests that ended before, and requests that wait behind. */
const states = [
  { finished: 0, queued: 0 },
  { finished: 10_000, queued: 0 },
  { finished: 100_000, queued: 0 },
  { finished: 200_000, queued: 0 },
  { finished: 0, queued: 10_000 },
];
type State = (typeof states)[number];

const vocabulary = 32_768;
/** Steps before those that are timed; all rows have begun after them. */
const warmUp = 200;
/** Tokens of a source, or of a decoder-only prompt. */
const inputTokens = 64;
/** Requests sent at a time while many come and go. */
const wave = 512;

interface Measured {
  readonly shape: Shape;
  readonly level: Level;
  readonly state: State;
  /** Microseconds of each step. */
  readonly median: number;
  readonly p99: number;
  /** Bytes of live objects at the end. */
  readonly heap: number;
}

export const scheduler: Benchmark<SchedulerFlags> = {
  about: 'microseconds a step spends outside native code',
  flags,
  run: async (given, say) => {
    const measured: Measured[] = [];
    const once = (shape: Shape, level: Level, state: State, steps = given.steps) =>
      measure({ ...given, steps }, shape, level, state);
    // The first to run would pay for the compiler.
    for (const level of Object.keys(levels) as Level[]) {
      for (const shape of shapes) once(shape, level, { finished: 10_000, queued: 1000 }, 500);
    }
    for (let repetition = 1; repetition <= given.repetitions; repetition++) {
      say(`repetition ${repetition} of ${given.repetitions}`);
      for (const shape of shapes) {
        for (const level of Object.keys(levels) as Level[]) {
          for (const state of states) measured.push(once(shape, level, state));
        }
      }
    }
    return outcomeOf(measured);
  },
};

function measure(given: SchedulerFlags, shape: Shape, level: Level, { finished, queued }: State): Measured {
  const draw = new Draw(given.seed);
  let id = 1;
  const request = (maxTokens: number): SubmitMessage => {
    const input = draw.tokens(inputTokens, vocabulary);
    const encoder = shape === 'encoder-decoder';
    return {
      type: 'submit',
      id: id++,
      // Of different lengths, so that rows do not all ask for their next page in the same step.
      ...submission(maxTokens, {
        source: encoder ? input : null,
        prompt: encoder ? draw.tokens(1 + (id % 16), vocabulary) : input.subarray(0, inputTokens - (id % 16)),
      }),
    };
  };
  const stepper = new levels[level](modelOf(shape, given.steps), optionsOf(given));
  try {
    for (let sent = 0; sent < finished; sent += wave) {
      for (let i = 0; i < wave && sent + i < finished; i++) stepper.submit(request(1 + (id % 3)));
      runDry(stepper);
    }
    for (let i = 0; i < given.rows; i++) stepper.submit(request(warmUp + given.steps + 100));
    for (let i = 0; i < queued; i++) stepper.submit(request(4));
    for (let i = 0; i < warmUp; i++) stepper.step();
    collectGarbage();
    const times: number[] = [];
    for (let i = 0; i < given.steps; i++) {
      times.push(stepper.step());
      if (stepper.runtime.model.rows !== given.rows) throw new Error('The batch is not full.');
    }
    collectGarbage();
    const heap = process.memoryUsage().heapUsed;
    return { shape, level, state: { finished, queued }, median: median(times), p99: quantile(times, 0.99), heap };
  } finally {
    stepper.close();
  }
}

/** Steps until a step runs no row. */
function runDry(stepper: Stepper): void {
  const { model } = stepper.runtime;
  do {
    model.rows = 0;
    stepper.step();
  } while (model.rows > 0);
}

function modelOf(shape: Shape, steps: number): ModelToLoad {
  const encoder = shape === 'encoder-decoder';
  return {
    name: 'm',
    spec: fakeSpec({ encoder, mask: 'causal', decoderPositions: 'zero', vocabulary, windows: [0] }),
    compute: 'float32',
    weights: { kind: 'random', seed: 1 },
    defaults: { endTokens: [1] },
    maxSource: 512,
    maxTarget: inputTokens + warmUp + steps + 100,
  };
}

function optionsOf({ rows, pages }: SchedulerFlags): EngineOptions {
  return {
    device: 'cpu',
    cudaLibrary: null,
    isa: 'auto',
    threads: 1,
    maxBatchTokens: 2048,
    maxRows: rows,
    kvMemory: pages * nullPageBytes,
    maxQueue: 1e6,
    maxQueueTokens: 1e9,
  };
}

function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

function outcomeOf(measured: readonly Measured[]): Outcome {
  const of = (shape: Shape, level: Level, state: State) =>
    measured.filter(
      one =>
        one.shape === shape &&
        one.level === level &&
        one.state.finished === state.finished &&
        one.state.queued === state.queued,
    );
  const table: Outcome['table'][number][] = [];
  const findings: Finding[] = [];
  for (const shape of shapes) {
    for (const level of Object.keys(levels) as Level[]) {
      // Of the repetitions, the least: what else the machine does only adds to it.
      const medians: number[] = [];
      for (const state of states) {
        const all = of(shape, level, state);
        medians.push(Math.min(...all.map(one => one.median)));
        table.push({
          case: `${shape}, ${level}`,
          finished: state.finished,
          queued: state.queued,
          'median us': shown(medians.at(-1)!),
          'p99 us': shown(Math.min(...all.map(one => one.p99))),
          'heap MiB': shown(median(all.map(one => one.heap)) / 2 ** 20),
        });
      }
      const [fresh, , full, more, behind] = medians as [number, number, number, number, number];
      if (level === 'step') {
        findings.push({
          promise: `${shape}: a step within 100 us`,
          measured: `${shown(Math.max(...medians))} us at most`,
          kept: medians.every(value => value <= 100),
        });
      }
      // A tenth, and ten microseconds for a clock that is no finer.
      const grown = (from: number, to: number) => to > 1.1 * from + 10;
      findings.push(
        {
          promise: `${shape}, ${level}: no slower after 100,000 requests`,
          measured: `${shown(fresh)} -> ${shown(full)} us`,
          kept: !grown(fresh, full),
        },
        {
          promise: `${shape}, ${level}: no slower after 200,000 than after 100,000, when the cache was full already`,
          measured: `${shown(full)} -> ${shown(more)} us`,
          kept: !grown(full, more),
        },
        {
          promise: `${shape}, ${level}: no slower with 10,000 waiting`,
          measured: `${shown(fresh)} -> ${shown(behind)} us`,
          kept: !grown(fresh, behind),
        },
      );
    }
  }
  return { table, findings, measured };
}

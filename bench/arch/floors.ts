/**
 * What a pass takes at least on a machine whose rates are known: its operations at the rate of a large product, or the bytes that it
 * must read at the rate of memory, whichever takes longer. Equal sources are read once, and weights once a pass.
 */
import type { ComputeType, ModelSpec } from '../../src/models/spec.ts';
import type { MachineRates } from '../../src/native.ts';
import type { Figure } from '../record.ts';
import { shown } from '../table.ts';
import { decoderFlop, encoderFlop } from './flops.ts';
import { bytesOf, decodeWeights, encodeWeights, keptValues } from './traffic.ts';

export type Limit = NonNullable<Figure['limit']>;

/** Operations and bytes of one pass. */
export interface Cost {
  readonly flop: number;
  readonly bytes: number;
}

export interface ModelShape {
  readonly spec: ModelSpec;
  readonly compute: ComputeType;
}

export interface PromptShape {
  /** Tokens of each source. */
  readonly source: number;
  /** Different ones, and answers to all of them together. */
  readonly sources: number;
  readonly rows: number;
  /** Tokens of the answer that are computed with the prompt; 1: an encoder-decoder's start token. */
  readonly given?: number;
}

/** From nothing to the first token of every answer. */
export function promptCost({ spec, compute }: ModelShape, { source, sources, rows, given = 0 }: PromptShape): Cost {
  const weights = (encodeWeights(spec) + decodeWeights(spec)) * bytesOf(compute);
  const one = (count: number, length: number) =>
    decoderFlop(spec, {
      first: 0,
      count,
      source: length,
      prefix: spec.mask === 'prefix' ? count : 0,
      sampled: 1,
    });
  if (spec.encoder !== undefined) {
    const flop = sources * encoderFlop(spec, source) + rows * one(Math.max(1, given), source);
    return { flop, bytes: weights };
  }
  const head = decoderFlop(spec, { first: 0, count: 0, source: 0, prefix: 0, sampled: 1 });
  return { flop: sources * one(source + given, 0) + (rows - sources) * head, bytes: weights };
}

export interface StepShape {
  readonly source: number;
  readonly sources: number;
  readonly rows: number;
  /** Tokens of each answer so far. */
  readonly answered: number;
}

/** One token more of every row. */
export function stepCost({ spec, compute }: ModelShape, { source, sources, rows, answered }: StepShape): Cost {
  const { self, cross } = keptValues(spec);
  const encodes = spec.encoder !== undefined;
  const shared = sources * source * (encodes ? cross : self);
  const kept = shared + rows * answered * self;
  const flop =
    rows *
    decoderFlop(spec, {
      first: Math.round(encodes ? answered : source + answered),
      count: 1,
      source: encodes ? source : 0,
      prefix: 0,
      sampled: 1,
    });
  return { flop, bytes: (decodeWeights(spec) + kept) * bytesOf(compute) };
}

export class Floors {
  readonly #rates: MachineRates;

  constructor(rates: MachineRates) {
    this.#rates = rates;
  }

  seconds({ flop, bytes }: Cost): number {
    return Math.max(flop / this.#rates.flopPerSecond, bytes / this.#rates.bytesPerSecond);
  }

  because({ flop, bytes }: Cost): string {
    const { flopPerSecond, bytesPerSecond } = this.#rates;
    return flop / flopPerSecond > bytes / bytesPerSecond
      ? `${shown(flop / 1e9)} GFLOP over ${shown(flopPerSecond / 1e9)} GFLOP/s`
      : `${shown(bytes / 1e6)} MB over ${shown(bytesPerSecond / 1e9)} GB/s`;
  }
}

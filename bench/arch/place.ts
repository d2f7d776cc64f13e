/** One place of a protocol's grid: what is asked of a model there, and what that takes at least. */
import type { Labels } from '../record.ts';
import type { Draw } from '../statistics.ts';
import type { Floors, Limit, ModelShape } from './floors.ts';
import type { Subject } from './subject.ts';

/** What one repetition gave, by metric. */
export type Sample = Readonly<Record<string, number>>;

export interface Place {
  readonly protocol: Protocol;
  readonly labels: Labels;
  /** What must be held at once. */
  readonly needs: {
    readonly source: number;
    readonly decoder: number;
    readonly rows: number;
    readonly sources: number;
  };
  /** Warms up, and finds what is the same every time. */
  once(subject: Subject, draw: Draw): Promise<Sample>;
  measure(subject: Subject, draw: Draw): Promise<Sample>;
  /** For as many of its metrics as have one. */
  limits(model: ModelShape, floors: Floors): Readonly<Record<string, Limit>>;
  /** What one repetition takes at least. */
  seconds(model: ModelShape, floors: Floors): number;
}

/** For a place of which nothing is the same every time. */
export function warmUp(measure: Place['measure']): Place['once'] {
  return async (subject, draw) => {
    await measure(subject, draw);
    return {};
  };
}

export const protocols = ['paper', 'generation', 'equal-cost', 'reuse', 'length'] as const;
export type Protocol = (typeof protocols)[number];

/** Units of the metrics there are. */
export const units: Readonly<Record<string, string>> = {
  examples_per_second: '1/s',
  ttft_ms: 'ms',
  tpot_ms: 'ms',
  e2e_ms: 'ms',
  tokens_per_second: '1/s',
  cached_share: '%',
  weight_bytes: 'bytes',
  kv_bytes: 'bytes',
  paper_flop: 'FLOP',
  executed_flop: 'FLOP',
  all_logits_flop: 'FLOP',
  counted_flop: 'FLOP',
};

/** Those of which ratios are made: what is timed. */
export const timed: readonly string[] = ['examples_per_second', 'ttft_ms', 'tpot_ms', 'e2e_ms', 'tokens_per_second'];

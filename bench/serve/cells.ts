/** Runs as a record has them: a cell for each load, whose figures are of all requests of its runs, or one value a run. */
import { type Cell, type Figure, figure, type Labels } from '../record.ts';
import { shown, type Table } from '../table.ts';
import { valuesOf } from './metrics.ts';
import type { Run } from './run.ts';
import { percentile } from './vllm.ts';

const names = ['ttft', 'tpot', 'itl', 'e2el'] as const;

/** What this client did against a server that does nothing: no server can show more through it. */
export interface Ceiling {
  readonly requests: number;
  readonly tokens: number;
}

export const ceilingOf = ({ metrics }: Run): Ceiling => ({
  requests: metrics.completed / metrics.duration,
  tokens: metrics.totalOutput / metrics.duration,
});

/** @param runs repetitions of one load */
export function cellOf(
  protocol: string,
  labels: Labels,
  runs: readonly Pick<Run, 'metrics'>[],
  ceiling: Ceiling | null,
): Cell {
  const figures: Record<string, Figure> = {};
  const add = (name: string, unit: string, values: readonly number[], limit?: number) => {
    const because = 'this client, by the same requests all at once to a server that answers at once';
    const least = limit === undefined ? undefined : { value: round(limit), because };
    // Of a load without one complete request there are no latencies.
    if (values.length > 0) figures[name] = figure(unit, values.map(round), least);
  };
  for (const name of names) {
    const values = runs.map(({ metrics }) => valuesOf(metrics)[name]);
    add(name, 'ms', values.flat());
    const most = values.filter(({ length }) => length > 0).map(of => percentile(of, 99));
    add(`p99_${name}`, 'ms', most);
  }
  const each = (of: (run: Pick<Run, 'metrics'>) => number) => runs.map(of);
  const rate = (of: (run: Pick<Run, 'metrics'>) => number) => each(run => of(run) / run.metrics.duration);
  add(
    'request_throughput',
    'requests/s',
    rate(({ metrics }) => metrics.completed),
    ceiling?.requests,
  );
  add(
    'output_throughput',
    'tokens/s',
    rate(({ metrics }) => metrics.totalOutput),
    ceiling?.tokens,
  );
  if (runs[0]!.metrics.good !== null)
    add(
      'request_goodput',
      'requests/s',
      rate(({ metrics }) => metrics.good!),
    );
  add(
    'failed',
    'requests',
    each(({ metrics }) => metrics.failed),
  );
  add(
    'refused',
    'requests',
    each(({ metrics }) => metrics.errors.refused ?? 0),
  );
  add(
    'late',
    'ms',
    runs.flatMap(({ metrics }) => metrics.requests.map(({ late }) => late)),
  );
  return { protocol, labels, figures };
}

/** Microseconds are enough, and short to write. */
const round = (value: number) => Math.round(value * 1000) / 1000;

/** A line a load, of medians. */
export function tableOf(cells: readonly Cell[]): Table {
  return cells.map(({ labels, figures }) => {
    const median = (name: string) => shown(figures[name]?.median ?? Number.NaN);
    return {
      server: labels.server!,
      rate: labels.rate!,
      'requests/s': median('request_throughput'),
      good: median('request_goodput'),
      'tokens/s': median('output_throughput'),
      'ttft p50 ms': median('ttft'),
      p99: median('p99_ttft'),
      'tpot p50 ms': median('tpot'),
      'p99 ': median('p99_tpot'),
      'e2el p50 ms': median('e2el'),
      'p99  ': median('p99_e2el'),
      failed: median('failed'),
      'late p50 ms': median('late'),
    };
  });
}

/**
 * Whether a record of `serve` follows from its requests: their times are in the record, one by one, so every statistic of vLLM's
 * and every figure of a cell is computed from them again, by what computed them first.
 */
import { z } from 'zod';
import type { Cell } from '../record.ts';
import type { Answer, ErrorKind } from './answer.ts';
import { cellOf } from './cells.ts';
import { type Metrics, measure, type Objectives, readObjectives } from './metrics.ts';
import { vllmFields } from './vllm.ts';

const numbers = z.array(z.number());

/** What is needed of one run; lengths and times are of all requests in their order, times in seconds. */
const runSchema = z.looseObject({
  request_rate: z.union([z.number().positive(), z.literal('inf')]),
  max_concurrency: z.number().nullable(),
  duration: z.number().positive(),
  input_lens: numbers.min(1),
  output_lens: numbers,
  ttfts: numbers,
  itls: z.array(numbers),
  latencies: numbers,
  start_times: numbers,
  errors_by_kind: z.record(z.string(), z.number()),
  late_ms: numbers,
});
type Detailed = z.infer<typeof runSchema>;

const perRequest = ['output_lens', 'ttfts', 'itls', 'latencies', 'start_times', 'late_ms'] as const;

export interface Fault {
  readonly path: (string | number)[];
  readonly message: string;
}

/** What of a record the check reads. */
interface Checked {
  readonly flags: Readonly<Record<string, string | number | boolean>>;
  readonly cells: readonly Cell[];
  readonly more?: Readonly<Record<string, unknown>> | undefined;
}

/** What does not follow, with its place in the record; empty where all does. */
export function faultsOf(record: Checked): Fault[] {
  const { more } = record;
  if (more === undefined) return [{ path: ['more'], message: 'is missing, and with it the requests' }];
  const further = Array.isArray(more.further) ? (more.further as unknown[]) : [];
  const paths = [['more'], ...further.map((_, i) => ['more', 'further', i])];
  const faults: Fault[] = [];
  const runs: { detailed: Detailed; metrics: Metrics }[] = [];
  for (const [i, fields] of [more, ...further].entries()) {
    const path = paths[i]!;
    const read = runSchema.safeParse(fields);
    if (!read.success) {
      for (const issue of read.error.issues)
        faults.push({ path: [...path, ...issue.path.map(part => part as string | number)], message: issue.message });
      continue;
    }
    const detailed = read.data;
    const uneven = perRequest.filter(name => detailed[name].length !== detailed.input_lens.length);
    faults.push(...uneven.map(name => ({ path: [...path, name], message: 'are not as many as input_lens' })));
    if (uneven.length > 0) continue;
    const { metrics, wrong } = recomputed(detailed, record.flags);
    faults.push(...wrong.map(({ path: inner, message }) => ({ path: [...path, ...inner], message })));
    runs.push({ detailed, metrics });
  }
  return faults.length > 0 ? faults : cellFaults(record, runs);
}

/** The run as it was measured, from what it says of each request; and what it says otherwise. */
function recomputed(detailed: Detailed, flags: Checked['flags']): { metrics: Metrics; wrong: Fault[] } {
  const failures = Object.entries(detailed.errors_by_kind).flatMap(([kind, count]) => Array<string>(count).fill(kind));
  const answers = detailed.input_lens.map((_, i) => answerOf(detailed, i, () => failures.pop()));
  const load = {
    sent: answers.map((answer, i) => ({ answer, late: detailed.late_ms[i]!, queued: 0 })),
    start: 0,
    duration: detailed.duration * 1000,
    thread: { p50: 0, p99: 0, max: 0 },
  };
  const prompts = detailed.input_lens.map(inputLength => ({ prompt: '', inputLength, outputLength: 1 }));
  const objectives = readObjectives(String(flags.goodput ?? ''));
  const measureBy = (by: number) => measure(load, prompts, Number(flags.n ?? 1), shifted(objectives, by));
  const metrics = measureBy(0);
  const wrong: Fault[] = [];
  if (failures.length > 0) wrong.push({ path: ['errors_by_kind'], message: 'has more than failed' });
  const [first] = detailed.start_times.toSorted((a, b) => a - b);
  const ends = answers.filter(({ failure }) => failure === null).map(({ last }) => last! / 1000);
  if (Math.max(0, ...ends) - first! > detailed.duration + 0.001)
    wrong.push({ path: ['duration'], message: 'is shorter than from the first request to the last answer' });

  const percentiles = Object.keys(detailed).flatMap(name => /^p([\d.]+)_ttft_ms$/.exec(name)?.[1] ?? []);
  const asked = {
    backend: '',
    model: '',
    label: null,
    rate: 1,
    burstiness: 1,
    cap: 1,
    percentiles: percentiles.map(Number),
  };
  const expected = vllmFields(metrics, asked, new Date(0));
  const askedFor = ['request_rate', 'burstiness', 'max_concurrency'];
  for (const [name, value] of Object.entries(expected)) {
    if (typeof value !== 'number' || askedFor.includes(name)) continue;
    const said = detailed[name];
    const least = name === 'request_goodput' ? measureBy(-rounding).good! / detailed.duration : value;
    const most = name === 'request_goodput' ? measureBy(rounding).good! / detailed.duration : value;
    if (typeof said !== 'number' || said < least - slack(name, value) || said > most + slack(name, value))
      wrong.push({ path: [name], message: `is not what follows from the requests (${value})` });
  }
  return { metrics, wrong };
}

/** One that failed took no time, as vLLM writes it. */
function answerOf(detailed: Detailed, i: number, kind: () => string | undefined): Answer {
  const [sent, first, last] = [0, detailed.ttfts[i]!, detailed.latencies[i]!].map(
    offset => (detailed.start_times[i]! + offset) * 1000,
  ) as [number, number, number];
  const failed = detailed.latencies[i] === 0;
  return {
    sent,
    first,
    last,
    gaps: detailed.itls[i]!.map(gap => gap * 1000),
    chunks: 1,
    inputTokens: detailed.input_lens[i]!,
    outputTokens: detailed.output_lens[i]!,
    cachedTokens: null,
    failure: failed ? { kind: (kind() ?? 'unreadable') as ErrorKind, message: '', retryAfter: null } : null,
  };
}

/** Milliseconds: times are written in microseconds, and the time per token of few tokens is made of several. */
const rounding = 0.01;

function shifted(objectives: Objectives | null, by: number): Objectives | null {
  return objectives && Object.fromEntries(Object.entries(objectives).map(([name, most]) => [name, most + by]));
}

function slack(name: string, value: number): number {
  if (name.endsWith('_ms')) return rounding;
  // What happens within a microsecond may be counted in another order.
  if (name.startsWith('max_')) return Math.max(2, 0.05 * value);
  return 1e-9 * Math.abs(value);
}

/** Cells in the order of their loads; each has the runs with its rate and its cap. */
function cellFaults(record: Checked, runs: readonly { detailed: Detailed; metrics: Metrics }[]): Fault[] {
  const faults: Fault[] = [];
  // The client's own ceiling was measured before the load, and its requests are not kept.
  const loaded = record.cells.some(({ protocol }) => protocol !== 'null');
  const ceiling = loaded ? record.cells.find(({ protocol }) => protocol === 'null') : undefined;
  let claimed = 0;
  for (const [i, cell] of record.cells.entries()) {
    const { rate, concurrency } = cell.labels;
    if (cell === ceiling) continue;
    const own = runs.filter(
      ({ detailed }) => detailed.request_rate === rate && (detailed.max_concurrency ?? 'inf') === concurrency,
    );
    claimed += own.length;
    if (own.length === 0)
      faults.push({ path: ['cells', i, 'labels'], message: 'are of no load whose requests are here' });
    else
      for (const { path, message } of sameFigures(cellOf(cell.protocol, cell.labels, own, null), cell))
        faults.push({ path: ['cells', i, ...path], message });
    for (const name of ['request_throughput', 'output_throughput']) {
      const { limit } = cell.figures[name] ?? {};
      if (limit !== undefined && limit.value !== ceiling?.figures[name]?.median)
        faults.push({ path: ['cells', i, 'figures', name, 'limit'], message: "is not the client's own ceiling" });
    }
  }
  if (claimed < runs.length) faults.push({ path: ['more'], message: 'has requests of loads that no cell has' });
  return faults;
}

function sameFigures(expected: Cell, said: Cell): Fault[] {
  const names = new Set([...Object.keys(expected.figures), ...Object.keys(said.figures)]);
  return [...names].flatMap(name => {
    const [should, is] = [expected.figures[name]?.repetitions, said.figures[name]?.repetitions];
    const same =
      should !== undefined &&
      is?.length === should.length &&
      should.every((value, i) => Math.abs(value - is[i]!) <= rounding + 1e-9 * Math.abs(value));
    return same ? [] : [{ path: ['figures', name], message: 'does not follow from the requests' }];
  });
}

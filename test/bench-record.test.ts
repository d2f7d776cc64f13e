/** A record that was made by hand is refused, by the field that gives it away. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type BenchmarkRecord, figure, readRecord } from '../bench/record.ts';
import { archRecord, qualityRecord, resultsFolder, serveRecord } from './fixtures/benchmark-records.ts';

/** What `readRecord` says of a record that `change` was made to; null where it says nothing. */
function refusal(change: (record: BenchmarkRecord) => unknown, record = archRecord(['150m'])): string | null {
  change(record);
  const folder = resultsFolder({ 'tried.json': record });
  try {
    readRecord(join(folder, 'tried.json'));
    return null;
  } catch (error) {
    return (error as Error).message;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Any of the record's ratios, whose cells are there. */
const ratioOf = (record: BenchmarkRecord) => record.ratios.find(({ protocol }) => protocol === 'generation')!;

test('records as they were written are read', () => {
  for (const record of [archRecord(), qualityRecord(), serveRecord()])
    assert.equal(
      refusal(() => {}, record),
      null,
    );
});

const fakes: [what: string, said: RegExp, change: (record: BenchmarkRecord) => unknown][] = [
  ['no commit', /tried\.json: commit /, record => Reflect.deleteProperty(record, 'commit')],
  ['a commit that is none', /commit is no commit/, record => Object.assign(record, { commit: 'abc123' })],
  ['no flags', /flags /, record => Reflect.deleteProperty(record, 'flags')],
  ['empty flags', /flags are missing/, record => Object.assign(record, { flags: {} })],
  ['no machine', /machine /, record => Reflect.deleteProperty(record, 'machine')],
  ['no word on disturbance', /disturbed /, record => Reflect.deleteProperty(record, 'disturbed')],
  ['no figures', /cells\.0\.figures are missing/, record => Object.assign(record.cells[0]!, { figures: {} })],
  [
    'no repetitions',
    /figures\.examples_per_second\.repetitions /,
    record => Reflect.deleteProperty(record.cells[0]!.figures.examples_per_second!, 'repetitions'),
  ],
  [
    'empty repetitions',
    /figures\.examples_per_second\.repetitions /,
    record => Object.assign(record.cells[0]!.figures.examples_per_second!, { repetitions: [] }),
  ],
  [
    'a better median',
    /cells\.0\.figures\.examples_per_second\.median is not that of the repetitions/,
    record => Object.assign(record.cells[0]!.figures.examples_per_second!, { median: 1000 }),
  ],
  [
    'a narrower spread',
    /figures\.examples_per_second\.low is not that of the repetitions/,
    record => {
      const measured = record.cells[0]!.figures.examples_per_second!;
      measured.low = measured.median;
    },
  ],
  [
    'a better ratio with quartiles to match',
    /ratios\.\d+\.figure\.repetitions are not the quotients of the cells'/,
    record => {
      const { figure } = ratioOf(record);
      figure.repetitions = figure.repetitions.map(value => value * 2);
      for (const name of ['median', 'low', 'high'] as const) figure[name] *= 2;
    },
  ],
  [
    'a ratio without the repetition that spoils it',
    /ratios\.\d+\.figure\.repetitions are not the quotients/,
    record => {
      const { figure } = ratioOf(record);
      const kept = figure.repetitions.toSorted((a, b) => a - b).slice(0, 3);
      Object.assign(figure, { repetitions: kept, median: kept[1], low: kept[0], high: kept[2] });
    },
  ],
  [
    'a ratio to a model that was not measured',
    /ratios\.\d+\.below names no single cell with \w+/,
    record => Object.assign(ratioOf(record), { below: 'decllm-2b' }),
  ],
  [
    'a ratio at a place that was not measured',
    /ratios\.\d+\.above names no single cell/,
    record => Object.assign(ratioOf(record).labels, { batch: 64 }),
  ],
  [
    'a ratio that could be of several places',
    /ratios\.\d+\.above names no single cell/,
    record => Reflect.deleteProperty(ratioOf(record).labels, 'batch'),
  ],
  [
    'a ratio between two places',
    /ratios\.\d+\.labels\.batch differs between the two cells/,
    record => {
      const found = ratioOf(record);
      const { above, below, protocol, labels } = found;
      record.cells = record.cells.filter(
        ({ protocol: other, labels: place }) =>
          other !== protocol ||
          (place.model === above ? place.batch === 1 : place.model !== below || place.batch === 8),
      );
      Reflect.deleteProperty(labels, 'batch');
      record.ratios = [found];
    },
  ],
  [
    'a ratio of two units',
    /ratios\.\d+\.metric has two units/,
    record => {
      const { above, metric, labels } = ratioOf(record);
      const cell = record.cells.find(
        ({ labels: place }) =>
          place.model === above && Object.entries(labels).every(([name, value]) => place[name] === value),
      )!;
      cell.figures[metric]!.unit = 's';
    },
  ],
  [
    "a paper's number that the paper does not have",
    /ratios\.\d+\.paper is not what the paper has \(1\.53\)/,
    record => Object.assign(record.ratios.find(({ paper }) => paper !== undefined)!, { paper: 2 }),
  ],
  [
    "a paper's number where it has none",
    /ratios\.\d+\.paper is not what the paper has \(nothing\)/,
    record => Object.assign(ratioOf(record), { paper: 1.53 }),
  ],
  ['one cell twice', /cells\.\d+\.labels are those of another cell/, record => record.cells.push(record.cells[0]!)],
  ['a field of its own', /the record .*fastest/, record => void Object.assign(record, { fastest: true })],
];

for (const [what, said, change] of fakes)
  test(`a record with ${what} is refused`, () => {
    assert.match(refusal(change) ?? 'it was read', said);
  });

/** The first run's own fields, and those of a later one. */
interface Run {
  ttfts: number[];
  latencies: number[];
  further: Run[];
}
const more = (record: BenchmarkRecord) => record.more as unknown as Run;

const fakeLoads: [what: string, said: RegExp, change: (record: BenchmarkRecord) => unknown][] = [
  ['no requests', /more is missing/, record => Reflect.deleteProperty(record, 'more')],
  ['no times', /more\.ttfts /, record => Reflect.deleteProperty(more(record), 'ttfts')],
  ['times of some', /more\.latencies are not as many/, record => more(record).latencies.pop()],
  ['a better p99', /more\.p99_ttft_ms is not what follows/, record => Object.assign(more(record), { p99_ttft_ms: 1 })],
  [
    'a better mean in a later run',
    /more\.further\.2\.mean_tpot_ms is not what follows/,
    record => Object.assign(more(record).further[2]!, { mean_tpot_ms: 1 }),
  ],
  [
    'more throughput',
    /more\.output_throughput is not/,
    record => Object.assign(more(record), { output_throughput: 1e6 }),
  ],
  ['more completed', /more\.completed is not what follows/, record => Object.assign(more(record), { completed: 40 })],
  ['more goodput', /more\.request_goodput is not/, record => Object.assign(more(record), { request_goodput: 9 })],
  [
    'a shorter run and all that follows from it',
    /more\.duration is shorter than from the first request/,
    record => {
      const run = record.more as Record<string, number>;
      run.duration! /= 2;
      for (const name of ['request_throughput', 'request_goodput', 'output_throughput', 'total_token_throughput'])
        run[name]! *= 2;
    },
  ],
  [
    'failures left out',
    /more\.errors_by_kind has more than failed/,
    record => Object.assign(more(record), { errors_by_kind: { refused: 3 } }),
  ],
  [
    'a cell of its own invention',
    /cells\.0\.figures\.ttft does not follow/,
    record => Object.assign(record.cells[0]!.figures, { ttft: figure('ms', [1, 2, 3]) }),
  ],
  [
    'a cell at another rate',
    /cells\.3\.labels are of no load/,
    record => Object.assign(record.cells[3]!.labels, { rate: 16 }),
  ],
  ['a load left out', /more has requests of loads that no cell has/, record => record.cells.pop()],
  [
    'a ceiling that was not measured',
    /cells\.0\.figures\.output_throughput\.limit is not the client's own/,
    record => Object.assign(record.cells[0]!.figures.output_throughput!, { limit: { value: 1e6, because: 'so' } }),
  ],
];

for (const [what, said, change] of fakeLoads)
  test(`a load with ${what} is refused`, () => {
    assert.match(refusal(change, serveRecord()) ?? 'it was read', said);
  });

test('what is no JSON is refused by its name', () => {
  const folder = resultsFolder({ 'torn.json': '{"format": 1, "bench' });
  assert.throws(() => readRecord(join(folder, 'torn.json')), /torn\.json: is no JSON/);
  rmSync(folder, { recursive: true });
});

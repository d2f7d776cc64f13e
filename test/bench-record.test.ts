/** A record that was made by hand is refused, by the field that gives it away. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type BenchmarkRecord, readRecord } from '../bench/record.ts';
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
  ['one cell twice', /cells\.\d+\.labels are those of another cell/, record => record.cells.push(record.cells[0]!)],
  ['a field of its own', /the record .*fastest/, record => void Object.assign(record, { fastest: true })],
];

for (const [what, said, change] of fakes)
  test(`a record with ${what} is refused`, () => {
    assert.match(refusal(change) ?? 'it was read', said);
  });

test('what is no JSON is refused by its name', () => {
  const folder = resultsFolder({ 'torn.json': '{"format": 1, "bench' });
  assert.throws(() => readRecord(join(folder, 'torn.json')), /torn\.json: is no JSON/);
  rmSync(folder, { recursive: true });
});

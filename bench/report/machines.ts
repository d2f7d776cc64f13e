/** Records by what they were measured on: absolute times of two machines never share a table or a plot. */
import { groupBy } from '../group.ts';
import { type BenchmarkRecord, placeOf } from '../record.ts';
import type { Stored, StoredCell } from './results.ts';

/** Records of one benchmark on one machine: parts of one grid, perhaps. */
export interface Campaign {
  /** A name for headings: device, processor, cores. */
  readonly machine: string;
  readonly records: readonly Stored[];
  /** Of all its records; what was measured twice is there once, as measured last. */
  readonly cells: readonly StoredCell[];
  /** Sentences with the file that says them; empty where nothing was noticed. */
  readonly disturbed: readonly string[];
}

/** Of a load, the client's: what the server runs on is not known, and servers are what is compared. */
export function machineOf({ benchmark, device, machine }: BenchmarkRecord): string {
  const host = `${machine.cpu || 'unnamed CPU'}, ${machine.cores} ${machine.cores === 1 ? 'core' : 'cores'}`;
  return benchmark === 'serve' ? `client on ${host}` : `${device}, ${host}`;
}

export function campaignsOf(records: readonly Stored[], benchmark: BenchmarkRecord['benchmark']): Campaign[] {
  const byMachine = groupBy(
    records
      .filter(({ record }) => record.benchmark === benchmark)
      .toSorted((a, b) => (a.record.started < b.record.started ? -1 : 1)),
    ({ record }) => machineOf(record),
  );
  return [...byMachine].map(([machine, stored]) => ({
    machine,
    records: stored,
    cells: latestCells(stored),
    disturbed: disturbancesOf(stored),
  }));
}

/** Sentences with the file that says them, each once. */
export function disturbancesOf(records: readonly Stored[]): string[] {
  return [...new Set(records.flatMap(({ file, record }) => record.disturbed.map(sentence => `${file}: ${sentence}`)))];
}

function latestCells(records: readonly Stored[]): StoredCell[] {
  const cells = new Map<string, StoredCell>();
  for (const stored of records) for (const cell of stored.record.cells) cells.set(placeOf(cell), { ...cell, stored });
  return [...cells.values()];
}

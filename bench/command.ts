/** What a command of `npm run bench` is: one that measures leaves a record, `report` makes pages of them. */
import { writeFileSync } from 'node:fs';
import type { Flags } from './flags.ts';
import { commit, machine } from './provenance.ts';
import { type BenchmarkRecord, readRecord } from './record.ts';
import type { Table } from './table.ts';

/** What a command knows that measured; the rest of the record is known of any run. */
export type Measured = Pick<BenchmarkRecord, 'device' | 'seed' | 'disturbed' | 'cells' | 'ratios' | 'more'> & {
  /** For people; everything in it is in the cells. */
  readonly table: Table;
};

/** Takes lines that tell how far a run is. */
export type Say = (line: string) => void;

export interface Command<F extends Flags> {
  readonly about: string;
  /** What stands after the flags, e.g. `[out.json]`: the record's path is the first, for commands that measure. */
  readonly takes: string;
  readonly flags: F;
  /** Brings arguments into the one form that flags have. */
  prepare?(args: readonly string[]): string[];
  /**
   * @param paths what stood between the flags
   * @returns what a record is made of; nothing where the command has written what it has to
   */
  run(flags: F, paths: readonly string[], say: Say): Promise<Measured | undefined>;
}

export function recordOf(
  benchmark: BenchmarkRecord['benchmark'],
  run: { started: Date; flags: Flags; measured: Measured },
): BenchmarkRecord {
  const { table: _, ...known } = run.measured;
  return {
    format: 1,
    benchmark,
    commit: commit(),
    machine: machine(),
    // JSON has no infinity.
    flags: Object.fromEntries(
      Object.entries(run.flags).map(([name, value]) => [name, value === Number.POSITIVE_INFINITY ? 'inf' : value]),
    ),
    started: run.started.toISOString(),
    seconds: Math.round((Date.now() - run.started.getTime()) / 1000),
    ...known,
  };
}

/** Written first, then read as its readers will: what was measured for an hour is not lost over a field. */
export function writeRecord(path: string, record: BenchmarkRecord): void {
  const lines = JSON.stringify(record, null, 1);
  // A list of numbers is one line: there are thousands of them.
  writeFileSync(path, `${lines.replace(/\[\n[^[\]{}"]*\]/g, list => list.replace(/\s+/g, ''))}\n`);
  readRecord(path);
  console.log(`written: ${path}`);
}

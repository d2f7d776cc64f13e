/** What a benchmark of serving is, and how its outcome is shown and kept. */
import { writeFileSync } from 'node:fs';
import type { Flags } from '../flags.ts';
import { commit, machine } from '../provenance.ts';
import type { Table } from '../table.ts';

/** Something that was promised, and what was found. */
export interface Finding {
  readonly promise: string;
  readonly measured: string;
  readonly kept: boolean;
}

export interface Outcome {
  readonly table: Table;
  readonly findings: readonly Finding[];
  /** Everything that was measured, every repetition. */
  readonly measured: unknown;
}

export interface Benchmark<F extends Flags> {
  readonly about: string;
  readonly flags: F;
  /** @param say for lines that tell how far it is */
  run(flags: F, say: (line: string) => void): Promise<Outcome>;
}

export function printFindings(findings: readonly Finding[]): void {
  for (const { promise, measured, kept } of findings)
    console.log(`${kept ? 'kept    ' : 'NOT KEPT'} ${promise}: ${measured}`);
}

/** Writes what the outcome was, of which code, on which machine. */
export function writeReport(
  path: string,
  report: { benchmark: string; started: Date; flags: Flags; outcome: Outcome },
): void {
  const { benchmark, started, flags, outcome } = report;
  const seconds = Math.round((Date.now() - started.getTime()) / 1000);
  const { findings, measured } = outcome;
  const whole = { benchmark, commit: commit(), machine: machine(), started, seconds, flags, findings, measured };
  writeFileSync(path, `${JSON.stringify(whole, null, 1)}\n`);
  console.log(`written: ${path}`);
}

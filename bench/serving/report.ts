/** What a benchmark of serving is, and how its outcome is shown and kept. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';

/** Every flag there is, with its default; a number's flag takes numbers. */
export type Flags = Readonly<Record<string, string | number>>;

/** Something that was promised, and what was found. */
export interface Finding {
  readonly promise: string;
  readonly measured: string;
  readonly kept: boolean;
}

export interface Outcome {
  /** One line a case, for people; equal keys throughout. */
  readonly table: readonly Readonly<Record<string, string | number>>[];
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

/** Columns as wide as they need to be; numbers to the right. */
export function printTable(table: Outcome['table']): void {
  const names = Object.keys(table[0] ?? {});
  const widths = names.map(name => Math.max(name.length, ...table.map(row => String(row[name] ?? '').length)));
  const line = (cells: readonly (string | number)[]) =>
    cells
      .map((cell, i) => (i === 0 ? String(cell).padEnd(widths[i]!) : String(cell).padStart(widths[i]!)))
      .join('  ')
      .trimEnd();
  console.log(line(names));
  for (const row of table) console.log(line(names.map(name => row[name] ?? '')));
}

export function printFindings(findings: readonly Finding[]): void {
  for (const { promise, measured, kept } of findings)
    console.log(`${kept ? 'kept    ' : 'NOT KEPT'} ${promise}: ${measured}`);
}

/** A number for a table: three significant digits, no exponent. */
export function shown(value: number): string {
  if (!Number.isFinite(value)) return '-';
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 6));
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

/** What timings depend on. `load` is the machine's load average over the last minute: what else ran. */
function machine() {
  const all = cpus();
  const gibibytes = Math.round(totalmem() / 2 ** 30);
  return { cpu: all[0]?.model.trim() ?? '', cores: all.length, gibibytes, node: process.version, load: loadavg()[0] };
}

/** `1a2b3c…`, with `+` where the working tree differs; empty outside a repository. */
function commit(): string {
  const git = (...args: string[]) =>
    execFileSync('git', args, {
      cwd: import.meta.dirname,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  try {
    return git('rev-parse', 'HEAD') + (git('status', '--porcelain', '--untracked-files=no') === '' ? '' : '+');
  } catch {
    return '';
  }
}

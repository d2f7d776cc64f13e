/** What lies in a folder of results: records, and files that other benchmarks wrote, which are named and left alone. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type BenchmarkRecord, type Cell, readJson, recordFrom } from '../record.ts';

/** A record and the name of its file. */
export interface Stored {
  readonly file: string;
  readonly record: BenchmarkRecord;
}

/** A file that is no record, and the command that wrote it, as far as its content says. */
export interface Other {
  readonly file: string;
  readonly command: string;
}

export interface Results {
  readonly records: readonly Stored[];
  readonly others: readonly Other[];
}

/** A cell and the record that it is in. */
export interface StoredCell extends Cell {
  readonly stored: Stored;
}

/**
 * Every JSON file of a folder, by name.
 * @throws Error that names file, field and fault, where a file says that it is a record and does not hold as one
 */
export function readResults(folder: string): Results {
  const records: Stored[] = [];
  const others: Other[] = [];
  for (const file of readdirSync(folder)
    .filter(name => name.endsWith('.json'))
    .sort()) {
    const path = join(folder, file);
    const content = readJson(path);
    if (claimsToBeRecord(content)) records.push({ file, record: recordFrom(path, content) });
    else others.push({ file, command: commandOfOther(file, content) });
  }
  return { records, others };
}

/** One sign is enough: a record from which the other was taken away is refused, not passed over. */
function claimsToBeRecord(content: unknown): boolean {
  if (typeof content !== 'object' || content === null) return false;
  const { format, benchmark, cells } = content as Record<string, unknown>;
  return format !== undefined || cells !== undefined || ['arch', 'serve', 'quality'].includes(benchmark as string);
}

function commandOfOther(file: string, content: unknown): string {
  const { benchmark, flags, products } = (content ?? {}) as Record<string, unknown>;
  if (products !== undefined) return `npm run bench:native -- ${file}`;
  if (typeof benchmark !== 'string') return 'unknown';
  return `npm run bench:serving -- ${benchmark} ${flagWords((flags ?? {}) as BenchmarkRecord['flags']).join(' ')} ${file}`;
}

/** The command that measures a record anew. */
export function commandOf({ file, record }: Stored): string {
  return `npm run bench -- ${record.benchmark} ${flagWords(record.flags).join(' ')} ${file}`;
}

function flagWords(flags: BenchmarkRecord['flags']): string[] {
  return Object.entries(flags)
    .filter(([, value]) => value !== false && value !== '')
    .map(([name, value]) => (value === true ? `--${name}` : `--${name} ${quoted(String(value))}`));
}

/** As a shell reads it. */
function quoted(value: string): string {
  return /^[\w.,:/@%+=-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`;
}

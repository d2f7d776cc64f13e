/**
 * The harness: node dist/bench/bench.js arch|serve|quality|report [--flags] [files]. docs/benchmark.md says what each shows.
 */
import { RedllmError } from '../src/errors.ts';
import { type Command, recordOf, writeRecord } from './command.ts';
import { describeFlags, type Flags, readFlags } from './flags.ts';
import type { BenchmarkRecord } from './record.ts';
import { printTable } from './table.ts';

type AnyCommand = Command<Flags>;

/** Loaded when asked for: none pays for what another needs. */
const commands: Record<string, () => Promise<AnyCommand>> = {
  arch: async () => (await import('./arch/arch.ts')).arch,
  serve: async () => (await import('./serve/serve.ts')).serve,
  quality: async () => (await import('./quality/quality.ts')).quality,
  report: async () => (await import('./report/report.ts')).report,
};

async function usage(): Promise<string> {
  const lines = ['usage: npm run bench -- COMMAND [--flags] [files]'];
  for (const [name, load] of Object.entries(commands)) {
    const { about, takes, flags } = await load();
    lines.push(`  ${name} ${takes}: ${about}`, `    ${describeFlags(flags)}`);
  }
  return lines.join('\n');
}

async function run(name: string, command: AnyCommand, args: readonly string[]): Promise<void> {
  const { flags, paths } = readFlags(command.prepare?.(args) ?? args, command.flags);
  const started = new Date();
  const measured = await command.run(flags, paths, line => process.stderr.write(`${line}\n`));
  if (measured === undefined) return;
  printTable(measured.table);
  for (const sentence of measured.disturbed) console.log(`disturbed: ${sentence}`);
  const benchmark = name as BenchmarkRecord['benchmark'];
  if (paths[0] !== undefined) writeRecord(paths[0], recordOf(benchmark, { started, flags, measured }));
}

const [name, ...args] = process.argv.slice(2);
if (name !== undefined && Object.hasOwn(commands, name)) {
  try {
    await run(name, await commands[name]!(), args);
  } catch (error) {
    // Of what was said on purpose the sentence is enough; a fault keeps its stack.
    if (!(error instanceof RedllmError) && (!(error instanceof Error) || error.name !== 'Error')) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
} else {
  console.error(await usage());
  process.exitCode = 1;
}

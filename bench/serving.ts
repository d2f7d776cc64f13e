/**
 * What the engine promises, measured: node dist/bench/serving.js scheduler|reuse|gap|soak|overload [--flags] [out.json].
 * docs/benchmark.md says what each shows and how to read it.
 */
import { parseArgs } from 'node:util';
import { gap } from './serving/gap.ts';
import { overload } from './serving/overload.ts';
import { type Benchmark, type Flags, printFindings, printTable, writeReport } from './serving/report.ts';
import { reuse } from './serving/reuse.ts';
import { scheduler } from './serving/scheduler.ts';
import { soak } from './serving/soak.ts';

const benchmarks = { scheduler, reuse, gap, soak, overload };

const usage = () =>
  [
    'usage: npm run bench:serving -- COMMAND [--flags] [out.json]',
    ...Object.entries(benchmarks).map(([name, { about, flags }]) => {
      const known = Object.entries<string | number>(flags).map(
        ([flag, value]) => `--${flag} ${value === '' ? 'VALUE' : value}`,
      );
      return `  ${name}: ${about}\n    ${known.join(' ')}`;
    }),
  ].join('\n');

/** Flags as given over their defaults; a default that is a number asks for a number. */
function readFlags<F extends Flags>(args: readonly string[], defaults: F): { flags: F; out: string | undefined } {
  const options = Object.fromEntries(Object.keys(defaults).map(name => [name, { type: 'string' as const }]));
  const { values, positionals } = parseArgs({ args: [...args], options, strict: true, allowPositionals: true });
  const flags = Object.fromEntries(
    Object.entries(defaults).map(([name, value]) => {
      const given = values[name] as string | undefined;
      if (given === undefined) return [name, value];
      if (typeof value === 'string') return [name, given];
      if (given === '' || !Number.isFinite(Number(given)))
        throw new Error(`--${name} must be a number, not '${given}'.`);
      return [name, Number(given)];
    }),
  );
  return { flags: flags as F, out: positionals[0] };
}

async function measure<F extends Flags>(name: string, benchmark: Benchmark<F>, args: readonly string[]): Promise<void> {
  const { flags, out } = readFlags(args, benchmark.flags);
  const started = new Date();
  const outcome = await benchmark.run(flags, line => process.stderr.write(`${line}\n`));
  printTable(outcome.table);
  printFindings(outcome.findings);
  if (out !== undefined) writeReport(out, { benchmark: name, started, flags, outcome });
}

const [name, ...args] = process.argv.slice(2);
if (name !== undefined && Object.hasOwn(benchmarks, name)) {
  // Each benchmark has flags of its own; readFlags gives every one of them its own kind.
  await measure(name, benchmarks[name as keyof typeof benchmarks] as unknown as Benchmark<Flags>, args);
} else {
  console.error(usage());
  process.exitCode = 1;
}

/**
 * What the engine promises, measured: node dist/bench/serving.js scheduler|reuse|gap|soak|overload [--flags] [out.json].
 * docs/benchmark.md says what each shows and how to read it.
 */
import { describeFlags, type Flags, readFlags } from './flags.ts';
import { gap } from './serving/gap.ts';
import { overload } from './serving/overload.ts';
import { type Benchmark, printFindings, writeReport } from './serving/report.ts';
import { reuse } from './serving/reuse.ts';
import { scheduler } from './serving/scheduler.ts';
import { soak } from './serving/soak.ts';
import { printTable } from './table.ts';

const benchmarks = { scheduler, reuse, gap, soak, overload };

const usage = () =>
  [
    'usage: npm run bench:serving -- COMMAND [--flags] [out.json]',
    ...Object.entries(benchmarks).map(
      ([name, { about, flags }]) => `  ${name}: ${about}\n    ${describeFlags(flags as Flags)}`,
    ),
  ].join('\n');

async function measure<F extends Flags>(name: string, benchmark: Benchmark<F>, args: readonly string[]): Promise<void> {
  const { flags, paths } = readFlags(args, benchmark.flags);
  const started = new Date();
  const outcome = await benchmark.run(flags, line => process.stderr.write(`${line}\n`));
  printTable(outcome.table);
  printFindings(outcome.findings);
  if (paths[0] !== undefined) writeReport(paths[0], { benchmark: name, started, flags, outcome });
}

const [name, ...args] = process.argv.slice(2);
if (name !== undefined && Object.hasOwn(benchmarks, name)) {
  // Each benchmark has flags of its own; readFlags gives every one of them its own kind.
  await measure(name, benchmarks[name as keyof typeof benchmarks] as unknown as Benchmark<Flags>, args);
} else {
  console.error(usage());
  process.exitCode = 1;
}

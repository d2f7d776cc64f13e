/** Sentences on what a run cannot vouch for: other work on the machine, and figures that spread more than an idle machine's do. */
import { cpus, loadavg } from 'node:os';
import type { Cell } from '../record.ts';
import { shown } from '../table.ts';

/** Quartiles so far apart, as a share of the median. */
const spread = 0.2;
/** Of the timed figures: fewer are chance. */
const share = 0.1;

export class LoadWatch {
  #most = 0;

  /** The average over the last minute, before this run adds to it. */
  readonly before = loadavg()[0] ?? 0;

  look(): void {
    this.#most = Math.max(this.#most, loadavg()[0] ?? 0);
  }

  /** @param threads that the run itself keeps busy */
  sentences(threads: number): string[] {
    const cores = cpus().length;
    const found: string[] = [];
    if (this.before > 0.5) found.push(`the load average was ${shown(this.before)} on ${cores} cores before the run`);
    // The thread that asks and the engine's own are seldom busy at once.
    if (this.#most > threads + 1.5)
      found.push(
        `the load average rose to ${shown(this.#most)}, where the run keeps ${threads} ${threads === 1 ? 'thread' : 'threads'} busy`,
      );
    return found;
  }
}

export function spreadSentences(cells: readonly Cell[]): string[] {
  const figures = cells.flatMap(cell =>
    Object.entries(cell.figures)
      .filter(([, { repetitions }]) => repetitions.length > 1)
      .map(([metric, { median, low, high }]) => ({ cell, metric, wide: (high - low) / median })),
  );
  const wide = figures.filter(one => one.wide > spread).toSorted((a, b) => b.wide - a.wide);
  if (wide.length <= share * figures.length) return [];
  const [{ cell, metric, wide: most }] = wide as [(typeof wide)[number]];
  const labels = Object.entries(cell.labels).map(([name, value]) => `${name} ${value}`);
  return [
    `${wide.length} of ${figures.length} figures have quartiles more than ${100 * spread} % apart, at most ${Math.round(100 * most)} %: ${metric} of ${cell.protocol} at ${labels.join(', ')}`,
  ];
}

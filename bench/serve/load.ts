/** An open loop: requests go when they are due, whatever has become of those before them. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { quantile } from '../statistics.ts';
import type { Answer } from './answer.ts';

/** One request and what became of it; times are milliseconds, of the same clock as the answer's. */
export interface Sent {
  readonly answer: Answer;
  /** How long after it was due this client got to it. */
  readonly late: number;
  /** How long it then waited for the client's own cap. */
  readonly queued: number;
}

export interface Load {
  readonly sent: readonly Sent[];
  readonly start: number;
  /** Milliseconds from the start to the end of the last answer. */
  readonly duration: number;
  /** Milliseconds that this client's thread came late to whatever waited for it, chunks among it. */
  readonly thread: Readonly<Record<'p50' | 'p99' | 'max', number>>;
}

/** As many that are due together as are sent before the client looks at what has come in. */
const burst = 64;

/**
 * @param due milliseconds from the start, in ascending order
 * @param cap requests under way at most; those beyond wait for their turn in order. Infinity: no cap
 * @param ask sends request `index`
 */
export async function openLoop(
  due: readonly number[],
  cap: number,
  ask: (index: number) => Promise<Answer>,
): Promise<Load> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const waiting: (() => void)[] = [];
  let running = 0;
  const enter = async (index: number, late: number): Promise<Sent> => {
    const arrived = performance.now();
    if (running >= cap) await new Promise<void>(resolve => waiting.push(resolve));
    else running++;
    const queued = performance.now() - arrived;
    const answer = await ask(index);
    // Whoever waits takes the place as it is.
    const next = waiting.shift();
    if (next) next();
    else running--;
    return { answer, late, queued };
  };

  const start = performance.now();
  const all: Promise<Sent>[] = [];
  for (const [index, at] of due.entries()) {
    const wait = at - (performance.now() - start);
    // Timers know whole milliseconds only, and none may send a request before it is due.
    if (wait > 0) await sleep(Math.ceil(wait));
    else if (index % burst === burst - 1) await turn();
    all.push(enter(index, Math.max(0, performance.now() - start - at)));
  }
  const sent = await Promise.all(all);
  const duration = performance.now() - start;
  delay.disable();
  // What the histogram counts is the whole interval between two looks, a millisecond apart when nothing is late.
  const late = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - 1);
  const thread = { p50: late(delay.percentile(50)), p99: late(delay.percentile(99)), max: late(delay.max) };
  return { sent, start, duration, thread };
}

/** Milliseconds beyond which a client is late enough to be seen in what it measures. */
const noticeable = 10;

/** Why what this load measured is not only the server's: sentences, none for a client that was on time. */
export function disturbances({ sent, thread }: Load, paced: boolean): string[] {
  const late = quantile(
    sent.map(one => one.late),
    0.99,
  );
  const found: string[] = [];
  // Of those that are all due at once, most must be late.
  if (paced && late > noticeable) found.push(`the client sent its requests late: p99 ${late.toFixed(1)} ms`);
  if (thread.p99 > noticeable) found.push(`the client's own thread was late: p99 ${thread.p99.toFixed(1)} ms`);
  return found;
}

/** Time for deadlines and rates. */
import { performance } from 'node:perf_hooks';

/** Milliseconds since 1970 by the clock as it stood when the process began; never jumps, and is the same in every thread. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}

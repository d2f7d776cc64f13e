/** Lengths as a flag says them: `256`, `128..512` (each as likely as any other), or `lognormal:256:0.5` (median and sigma). */
import type { Draw } from '../statistics.ts';
import { normal } from './arrivals.ts';

export type Lengths = (draw: Draw) => number;

/** Of lognormal lengths none is longer than so many medians: one of them would decide a whole run. */
const longest = 16;

/** @throws Error that names the flag */
export function readLengths(flag: string, said: string): Lengths {
  const fixed = /^(\d+)$/.exec(said);
  const between = /^(\d+)\.\.(\d+)$/.exec(said);
  const skewed = /^lognormal:(\d+):(\d*\.?\d+)$/.exec(said);
  const numbers = (fixed ?? between ?? skewed)?.slice(1).map(Number) ?? [];
  const [low = 0, high = low] = numbers;
  if (low < 1 || (between !== null && high < low))
    throw new Error(`--${flag} must be LENGTH, LOW..HIGH or lognormal:MEDIAN:SIGMA, not '${said}'.`);
  if (between !== null) return draw => draw.whole(low, high + 1);
  if (skewed === null) return () => low;
  return draw => Math.max(1, Math.min(longest * low, Math.round(low * Math.exp(high * normal(draw)))));
}

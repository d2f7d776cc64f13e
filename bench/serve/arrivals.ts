/** When requests are due: decided before the first is sent, so that no answer, soon or late, moves any of them. */
import type { Draw } from '../statistics.ts';

export interface Arrivals {
  /** Requests a second; infinity: all at once. */
  readonly rate: number;
  /** Shape of the gaps (a gamma distribution's): 1 is Poisson, less comes in bursts, infinity is evenly spaced. */
  readonly burstiness: number;
}

/** Milliseconds from the start at which each of `count` requests is due; the last one, exactly, after `count / rate` seconds. */
export function schedule(count: number, { rate, burstiness }: Arrivals, draw: Draw): number[] {
  if (rate === Number.POSITIVE_INFINITY) return new Array<number>(count).fill(0);
  let at = 0;
  const due = Array.from({ length: count }, () => {
    at += burstiness === Number.POSITIVE_INFINITY ? 1 : gamma(burstiness, draw);
    return at;
  });
  // The rate that was asked for, whatever was drawn: runs with other seeds have the same load.
  const scale = (1000 * count) / rate / at;
  return due.map(value => value * scale);
}

/** A draw from the gamma distribution (Marsaglia and Tsang, 2000); its scale is of no matter here. */
function gamma(shape: number, draw: Draw): number {
  if (shape === 1) return draw.exponential(1);
  if (shape < 1) return gamma(shape + 1, draw) * (1 - draw.uniform()) ** (1 / shape);
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = normal(draw);
    const v = (1 + c * x) ** 3;
    if (v > 0 && Math.log(1 - draw.uniform()) < x * x * 0.5 + d - d * v + d * Math.log(v)) return d * v;
  }
}

/** A draw from the normal distribution (Box and Muller). */
export function normal(draw: Draw): number {
  return Math.sqrt(2 * draw.exponential(1)) * Math.cos(2 * Math.PI * draw.uniform());
}

/** Order statistics of what was measured, and draws that are the same every time. */

/** The value below which a share `q` of the values lies (the nearest one); NaN where there are none. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** NaN where there are none. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** What is usually asked of many values. */
export function summary(values: readonly number[]) {
  return {
    count: values.length,
    p50: quantile(values, 0.5),
    p95: quantile(values, 0.95),
    p99: quantile(values, 0.99),
    max: quantile(values, 1),
  };
}

/** A seeded generator (mulberry32): good enough to draw requests with, and the same on every machine. */
export class Draw {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** In [0, 1). */
  uniform(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number in [low, high). */
  whole(low: number, high: number): number {
    return low + Math.floor(this.uniform() * (high - low));
  }

  /** Time to the next of events that come at random, `rate` of them in a unit of time on average. */
  exponential(rate: number): number {
    return -Math.log(1 - this.uniform()) / rate;
  }

  /** Token ids from 3 up: the first few are special in most vocabularies. */
  tokens(count: number, vocabulary: number): Int32Array {
    return Int32Array.from({ length: count }, () => this.whole(3, vocabulary));
  }

  /** A word of lower-case letters. */
  word(): string {
    const length = this.whole(3, 11);
    return String.fromCharCode(...Array.from({ length }, () => this.whole(97, 123)));
  }
}

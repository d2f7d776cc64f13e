/** What a probe of attention has read, brought to one figure a token and bin. */

/**
 * Means over layers and heads, each head as much as any other, by token and bin.
 * @param masses [layers, tokens, heads, bins]   @param heads of each layer
 */
export function averaged(masses: Float32Array, tokens: number, heads: readonly number[]): number[][] {
  const all = heads.reduce((sum, count) => sum + count, 0);
  if (all === 0) return [];
  const bins = masses.length / (tokens * all);
  const sums = Array.from({ length: tokens }, () => new Array<number>(bins).fill(0));
  let at = 0;
  for (const count of heads)
    for (let token = 0; token < tokens; token++)
      for (let head = 0; head < count; head++) for (let bin = 0; bin < bins; bin++) sums[token]![bin]! += masses[at++]!;
  return sums.map(row => row.map(sum => sum / all));
}

/** A map of means: what falls into a part of the answer, by part of the source. */
export class MapSum {
  readonly #rows: number[][];
  readonly #counts: number[];

  constructor(rows: number, columns: number) {
    this.#rows = Array.from({ length: rows }, () => new Array<number>(columns).fill(0));
    this.#counts = new Array<number>(rows).fill(0);
  }

  /** @param place of a token in its answer, in [0, 1) */
  add(place: number, bins: readonly number[]): void {
    const row = Math.floor(place * this.#rows.length);
    this.#counts[row]!++;
    for (const [i, mass] of bins.entries()) this.#rows[row]![i]! += mass;
  }

  /** Rows that hold a token, of an answer shorter than the map. */
  mean(): number[][] {
    return this.#rows.flatMap((row, i) => (this.#counts[i] === 0 ? [] : [row.map(sum => sum / this.#counts[i]!)]));
  }
}

/** How often each run of n items comes in a sequence. */
export function ngrams(items: readonly string[], n: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (let first = 0; first + n <= items.length; first++) {
    const run = items.slice(first, first + n).join('\u0000');
    counts.set(run, (counts.get(run) ?? 0) + 1);
  }
  return counts;
}

/** Occurrences that two counts have in common. */
export function common(some: ReadonlyMap<string, number>, others: ReadonlyMap<string, number>): number {
  let sum = 0;
  for (const [run, count] of some) sum += Math.min(count, others.get(run) ?? 0);
  return sum;
}

export function total(counts: ReadonlyMap<string, number>): number {
  let sum = 0;
  for (const count of counts.values()) sum += count;
  return sum;
}

/** Levenshtein's distance: insertions, deletions and substitutions that make one sequence the other. */
export function editDistance<T>(from: readonly T[], to: readonly T[]): number {
  let row = Array.from({ length: to.length + 1 }, (_, j) => j);
  for (const [i, item] of from.entries()) {
    const next = [i + 1];
    for (const [j, other] of to.entries())
      next.push(Math.min(row[j]! + (item === other ? 0 : 1), row[j + 1]! + 1, next[j]! + 1));
    row = next;
  }
  return row[to.length]!;
}

/** Edits of the reference that is nearest by its own length, and that length. An empty reference counts as one token. */
export function nearest<T>(
  answer: readonly T[],
  references: readonly (readonly T[])[],
): { readonly edits: number; readonly length: number } {
  return references
    .map(reference => ({ edits: editDistance(answer, reference), length: reference.length }))
    .reduce((best, each) => (rate(each) < rate(best) ? each : best));
}

export function rate({ edits, length }: { readonly edits: number; readonly length: number }): number {
  return edits / Math.max(1, length);
}

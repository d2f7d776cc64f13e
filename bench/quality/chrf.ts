/**
 * chrF2 of a corpus (Popovic, WMT 2015), 0 to 100, as sacreBLEU's default signature has it: runs of 1 to 6 characters, white space
 * left out, recall twice as weighty as precision. Of several references each answer is held to the one that it fits best.
 */
import { common, ngrams, total } from './ngrams.ts';

const ORDER = 6;
const BETA = 2;

/** Of one order: runs of the answer, of the reference, and those in both. */
type Counts = readonly [answer: number, reference: number, both: number];

/** @param references of each answer, one or more */
export function chrf(answers: readonly string[], references: readonly (readonly string[])[]): number {
  const sums = Array.from({ length: ORDER }, (): [number, number, number] => [0, 0, 0]);
  for (const [i, answer] of answers.entries()) {
    const fits = references[i]!.map(reference => countsOf(answer, reference));
    const best = fits.reduce((best, each) => (score(each) > score(best) ? each : best));
    for (const [n, counts] of best.entries()) for (const k of [0, 1, 2] as const) sums[n]![k] += counts[k];
  }
  return score(sums);
}

function countsOf(answer: string, reference: string): Counts[] {
  const [own, other] = [answer, reference].map(text => [...text.replace(/\s+/g, '')]);
  return Array.from({ length: ORDER }, (_, n): Counts => {
    const [mine, its] = [ngrams(own!, n + 1), ngrams(other!, n + 1)];
    // Where the reference is too short for an order, the answer has none of it either.
    return its.size === 0 ? [0, 0, 0] : [total(mine), total(its), common(mine, its)];
  });
}

/** F of the mean precision and the mean recall, over the orders that both sides have. */
function score(all: readonly Counts[]): number {
  const both = all.filter(([answer, reference]) => answer > 0 && reference > 0);
  if (both.length === 0) return 0;
  const mean = (of: (counts: Counts) => number) => both.reduce((sum, counts) => sum + of(counts), 0) / both.length;
  const precision = mean(([answer, , matched]) => matched / answer);
  const recall = mean(([, reference, matched]) => matched / reference);
  if (precision + recall === 0) return 0;
  return (100 * (1 + BETA ** 2) * precision * recall) / (BETA ** 2 * precision + recall);
}

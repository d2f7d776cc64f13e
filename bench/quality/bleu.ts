/**
 * BLEU of a corpus (Papineni et al., ACL 2002), 0 to 100, as sacreBLEU's default signature has it: words as mteval's version 13a cuts
 * them, up to 4-grams, the length of the nearest reference, and orders without a match smoothed exponentially.
 */
import { common, ngrams, total } from './ngrams.ts';

const ORDER = 4;

/** @param references of each answer, one or more */
export function bleu(answers: readonly string[], references: readonly (readonly string[])[]): number {
  const matched = new Array<number>(ORDER).fill(0);
  const possible = new Array<number>(ORDER).fill(0);
  let length = 0;
  let wanted = 0;
  for (const [i, answer] of answers.entries()) {
    const words = wordsOf(answer);
    const others = references[i]!.map(wordsOf);
    length += words.length;
    wanted += nearestLength(
      words.length,
      others.map(other => other.length),
    );
    for (let n = 1; n <= ORDER; n++) {
      const own = ngrams(words, n);
      matched[n - 1]! += common(own, greatest(others.map(other => ngrams(other, n))));
      possible[n - 1]! += total(own);
    }
  }
  if (matched[0] === 0 && matched.every(count => count === 0)) return 0;
  let sum = 0;
  let smoothing = 1;
  for (let n = 0; n < ORDER; n++) {
    if (possible[n] === 0) return 0;
    if (matched[n] === 0) smoothing *= 2;
    sum += Math.log((matched[n] || 1 / smoothing) / possible[n]!);
  }
  const brevity = length < wanted ? Math.exp(1 - wanted / length) : 1;
  return 100 * brevity * Math.exp(sum / ORDER);
}

/** The shorter one where two are as near. */
function nearestLength(length: number, others: readonly number[]): number {
  const far = (other: number) => Math.abs(other - length);
  return others.reduce((best, other) =>
    far(other) < far(best) || (far(other) === far(best) && other < best) ? other : best,
  );
}

/** Each run as often as it comes in the reference that has most of it. */
function greatest(counts: readonly ReadonlyMap<string, number>[]): Map<string, number> {
  const most = new Map<string, number>();
  for (const each of counts) for (const [run, count] of each) most.set(run, Math.max(count, most.get(run) ?? 0));
  return most;
}

const entities: readonly [string, string][] = [
  ['&quot;', '"'],
  ['&amp;', '&'],
  ['&lt;', '<'],
  ['&gt;', '>'],
];

/** Words by the rules of mteval-v13a: ASCII punctuation apart, but for points and commas between digits. */
export function wordsOf(text: string): string[] {
  let line = text.replaceAll('<skipped>', '').replaceAll('-\n', '').replaceAll('\n', ' ');
  for (const [entity, character] of entities) line = line.replaceAll(entity, character);
  return ` ${line} `
    .replace(/[!-&(-+/:-@[-`{-~]/g, ' $& ')
    .replace(/([^0-9])([.,])/g, '$1 $2 ')
    .replace(/([.,])([^0-9])/g, ' $1 $2')
    .replace(/([0-9])(-)/g, '$1 $2 ')
    .split(/\s+/)
    .filter(word => word !== '');
}

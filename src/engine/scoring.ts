/**
 * Scores: log-probabilities of the last tokens of a prompt. The query at t gives that of the token at t + 1, as a sample that is
 * forced to it: so a prompt is scored while it is computed, in one pass, and may be cut like any other.
 */
import type { Sequence } from './sequence.ts';

/** Logits that the scores of a step may take together. */
const LOGITS = 2 ** 24;
const FEWEST = 16;
const MOST = 256;

/** Score samples that a step has room for, beside one ordinary sample a row. */
export function scoresAStep(vocabulary: number): number {
  return Math.max(FEWEST, Math.min(MOST, Math.floor(LOGITS / vocabulary)));
}

/**
 * The first token whose query a sequence still needs: what comes before it may be taken from a cache, it itself and all after it
 * must be computed.
 */
export function firstQueryNeeded({ request, length, scoresReported }: Sequence): number {
  return scoresReported < request.scored ? request.prefix + scoresReported - 1 : length - 1;
}

/** Queries [first, end) that still have a score to give. */
function scoringQueries({ request, scoresReported }: Sequence): readonly [first: number, end: number] {
  return [request.prefix + scoresReported - 1, request.prompt.length - 1];
}

/** Scores that the tokens [start, start + count) of a sequence give; they are of its next unreported targets, in order. */
export function scoresOf(sequence: Sequence, start: number, count: number): number {
  const [first, end] = scoringQueries(sequence);
  return Math.max(0, Math.min(start + count, end) - Math.max(start, first));
}

/** How many of a sequence's next `wanted` tokens can be computed with room for `free` scores. */
export function tokensWithin(sequence: Sequence, wanted: number, free: number): number {
  const start = sequence.computed;
  if (scoresOf(sequence, start, wanted) <= free) return wanted;
  return Math.max(start, scoringQueries(sequence)[0]) + free - start;
}

/** A score sample of a row: which of the row's tokens is its query, and the token that follows it. */
export interface ScoreQuery {
  readonly query: number;
  readonly target: number;
}

/** The samples of a row of `scored` scores that computes tokens from `start` on, in order. */
export function scoreQueries(sequence: Sequence, start: number, scored: number): ScoreQuery[] {
  const first = Math.max(start, scoringQueries(sequence)[0]);
  return Array.from({ length: scored }, (_, i) => ({
    query: first + i - start,
    target: sequence.token(first + i + 1),
  }));
}

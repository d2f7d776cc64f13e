/** Measured values as words: a median, and its quartiles where they differ from it. */
import { shown } from '../table.ts';
import type { Piece } from './document.ts';
import { shareOfLimit, shownValue } from './metrics.ts';

export interface Worded {
  readonly main: string;
  /** Smaller, behind it. */
  readonly spread: string;
}

export function worded(piece: Exclude<Piece, { kind: 'reference' }>): Worded {
  if (typeof piece === 'string') return { main: piece, spread: '' };
  if (piece.kind === 'quoted') return { main: shown(piece.value), spread: '' };
  if (piece.kind === 'quotient') return { main: shown(piece.above.median / piece.below.median), spread: '' };
  const { metric, figure } = piece;
  const value = (number: number) => shownValue(metric, figure.unit, number);
  if (piece.kind === 'limit') return { main: value(figure.limit!.value), spread: '' };
  if (piece.kind === 'share') return { main: `${shown(100 * shareOfLimit(metric, figure)!)} %`, spread: '' };
  const [low, high] = [value(figure.low), value(figure.high)];
  return { main: value(figure.median), spread: low === high ? '' : `${low} to ${high}` };
}

/**
 * Which of a device's kernels compute a token: those made for many tokens of one sequence, or those made for one token of each
 * of many. Their results differ in the last bits, so the choice is by the token's own place in its sequence alone, never by
 * what runs beside it: the same request then gives the same bits in any company.
 */
import type { Sequence } from './sequence.ts';

export type RowKind = 'decode' | 'prefill';

/** A prompt of so many decoder tokens at most, such as an encoder-decoder's start token, is as one that was generated. */
const shortPrompt = 8;

/** @param whole its tokens see each other */
export function promptKind(tokens: number, whole: boolean): RowKind {
  return tokens <= shortPrompt && !whole ? 'decode' : 'prefill';
}

/** The kind of token `index` of a sequence, and where the tokens that go on from it in the same kind end: a row has none of both. */
export function stretchAt(
  { request: { prompt }, length }: Sequence,
  index: number,
  wholePrompts: boolean,
): { readonly kind: RowKind; readonly end: number } {
  const kind = index < prompt.length ? promptKind(prompt.length, wholePrompts) : 'decode';
  return { kind, end: kind === 'prefill' ? prompt.length : length };
}

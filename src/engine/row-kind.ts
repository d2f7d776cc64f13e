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

/** Of token `index` of a sequence. */
export function kindOf({ request: { prompt } }: Sequence, index: number, wholePrompts: boolean): RowKind {
  return index < prompt.length ? promptKind(prompt.length, wholePrompts) : 'decode';
}

/** Where the tokens of its kind end that go on from token `index`: a row never has tokens of both kinds. */
export function kindEnd(sequence: Sequence, index: number, wholePrompts: boolean): number {
  return kindOf(sequence, index, wholePrompts) === 'prefill' ? sequence.request.prompt.length : sequence.length;
}

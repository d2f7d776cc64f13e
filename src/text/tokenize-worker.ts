/** A thread of the pool (pool.ts): keeps the tokenizers that it was asked for, by path. */
import { move } from 'piscina';
import { Tokenizer } from './tokenizer.ts';

export interface TokenizeTask {
  readonly path: string;
  readonly text: string;
  readonly addSpecialTokens: boolean;
  /** Shared with whoever asks: one of the three below. Absent where the text is wanted whatever happens. */
  readonly state?: Int32Array;
}

export const WAITING = 0;
export const RUNNING = 1;
export const DROPPED = 2;

const tokenizers = new Map<string, Tokenizer>();

export default function tokenize({ path, text, addSpecialTokens, state }: TokenizeTask): Int32Array {
  if (state && Atomics.compareExchange(state, 0, WAITING, RUNNING) !== WAITING) return new Int32Array();
  let tokenizer = tokenizers.get(path);
  if (!tokenizer) {
    tokenizer = new Tokenizer(path);
    tokenizers.set(path, tokenizer);
  }
  const stopped = () => state !== undefined && Atomics.load(state, 0) === DROPPED;
  return move(Int32Array.from(tokenizer.encode(text, { addSpecialTokens, stopped }))) as Int32Array;
}

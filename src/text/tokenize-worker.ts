/** A thread of the pool (pool.ts): keeps the tokenizers that it was asked for, by path. */
import { move } from 'piscina';
import { Tokenizer } from './tokenizer.ts';

export interface TokenizeTask {
  readonly path: string;
  readonly text: string;
  readonly addSpecialTokens: boolean;
}

const tokenizers = new Map<string, Tokenizer>();

export default function tokenize({ path, text, addSpecialTokens }: TokenizeTask): Int32Array {
  let tokenizer = tokenizers.get(path);
  if (!tokenizer) {
    tokenizer = new Tokenizer(path);
    tokenizers.set(path, tokenizer);
  }
  return move(Int32Array.from(tokenizer.encode(text, { addSpecialTokens }))) as Int32Array;
}

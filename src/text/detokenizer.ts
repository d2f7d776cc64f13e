/** Text of an answer as its tokens arrive: constant work a token, and no character before all its bytes are there. */
import type { DecodeOptions, Tokenizer } from './tokenizer.ts';

export interface DetokenizerOptions extends DecodeOptions {
  /** Tokens that the answer continues: its first word then keeps the space that a text's first word loses. */
  readonly after?: readonly number[];
}

/** Tokens of context are needed only for "is this the first one" and for a character begun in the prompt (4 bytes). */
const CONTEXT = 8;

export class Detokenizer {
  readonly #tokenizer: Tokenizer;
  readonly #options: DecodeOptions;
  readonly #decode: (tokens: readonly string[], last: boolean) => string;

  constructor(tokenizer: Tokenizer, options: DetokenizerOptions = {}) {
    this.#tokenizer = tokenizer;
    this.#options = options;
    this.#decode = tokenizer.decoder.start();
    const context = lastTokens(options.after ?? [], tokenizer.specialIds);
    if (context.length > 0) this.push(context);
  }

  /** The text that these ids make final. All pieces and finish() together are what `decode` gives for all ids. */
  push(ids: readonly number[]): string {
    return this.#decode(this.#tokenizer.tokens(ids, this.#options), false);
  }

  /** What was held back; an unfinished character becomes U+FFFD. Nothing may be pushed after it. */
  finish(): string {
    return this.#decode([], true);
  }
}

/** Special tokens are no text: an answer after BOS alone begins a text. */
function lastTokens(ids: readonly number[], special: ReadonlySet<number>): number[] {
  const context: number[] = [];
  for (let at = ids.length - 1; at >= 0 && context.length < CONTEXT; at--)
    if (!special.has(ids[at]!)) context.unshift(ids[at]!);
  return context;
}

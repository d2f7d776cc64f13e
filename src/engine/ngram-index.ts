/** What followed each sequence of tokens before: which tokens would bring a sequence of `size` tokens a second time. */

/** A sequence of size - 1 tokens that stands somewhere, and the tokens that came after it; one alone is kept without a set. */
interface Gram {
  /** Index after its last token, where it stood first. */
  readonly end: number;
  next: number | Set<number>;
}

/** Odd, and another in each process: nobody can write a prompt whose sequences all have one hash. */
const base = (Math.floor(Math.random() * 2 ** 30) << 1) | 1;

/**
 * Grows token by token, each in constant time but for a comparison of size - 1 tokens. Indexes over one prompt may share it: the
 * prompt's own index is given to those of its continuations, and must not grow any more.
 */
export class NgramIndex {
  readonly #size: number;
  readonly #prompt: NgramIndex | null;
  /** Tokens of this index alone, after the prompt's. */
  readonly #tokens: number[] = [];
  readonly #grams = new Map<number, Gram[]>();
  /** Of the last size - 1 tokens: sum of (token + 1) * base^(distance from the end), in 32 bits. */
  #hash: number;
  /** base^(size - 1) */
  readonly #leaving: number;

  /** @param size tokens that may not come twice in a row; at least 1 */
  constructor(size: number, prompt: NgramIndex | null = null) {
    this.#size = size;
    this.#prompt = prompt;
    this.#hash = prompt === null ? 0 : prompt.#hash;
    let power = 1;
    for (let i = 1; i < size; i++) power = Math.imul(power, base);
    this.#leaving = power;
  }

  /** Tokens so far, the prompt's included. */
  get length(): number {
    return (this.#prompt?.length ?? 0) + this.#tokens.length;
  }

  /** Whether the tokens after the prompt are the first of `tokens`. */
  isStartOf(tokens: readonly number[]): boolean {
    return this.#tokens.length <= tokens.length && this.#tokens.every((token, i) => token === tokens[i]);
  }

  /** How many tokens it has after the prompt's, and the last of them. */
  get own(): { readonly count: number; readonly last: number | undefined } {
    return { count: this.#tokens.length, last: this.#tokens.at(-1) };
  }

  push(token: number): void {
    const { length } = this;
    const back = this.#size - 1;
    if (length >= back && !(this.#prompt && follows(this.#find(this.#prompt), token))) this.#add(token);
    this.#tokens.push(token);
    this.#hash = (Math.imul(this.#hash, base) + token + 1) | 0;
    if (length >= back) this.#hash = (this.#hash - Math.imul(this.#at(length - back) + 1, this.#leaving)) | 0;
  }

  /** Tokens that would complete a sequence which stands there already; none twice. */
  *banned(): Iterable<number> {
    if (this.length < this.#size - 1) return;
    for (const index of [this.#prompt, this]) {
      const next = index === null ? undefined : this.#find(index)?.next;
      if (next instanceof Set) yield* next;
      else if (next !== undefined) yield next;
    }
  }

  #add(token: number): void {
    const gram = this.#find(this);
    if (gram !== undefined) {
      if (gram.next instanceof Set) gram.next.add(token);
      else if (gram.next !== token) gram.next = new Set([gram.next, token]);
      return;
    }
    const made = { end: this.length, next: token };
    const same = this.#grams.get(this.#hash);
    if (same === undefined) this.#grams.set(this.#hash, [made]);
    else same.push(made);
  }

  /** The last size - 1 tokens of this index as a sequence of `index`, which is itself or its prompt's. */
  #find(index: NgramIndex): Gram | undefined {
    return index.#grams.get(this.#hash)?.find(({ end }) => this.#endsAlike(end));
  }

  #endsAlike(end: number): boolean {
    const { length } = this;
    for (let back = 1; back < this.#size; back++) if (this.#at(end - back) !== this.#at(length - back)) return false;
    return true;
  }

  #at(index: number): number {
    const before = this.#prompt?.length ?? 0;
    return index < before ? this.#prompt!.#at(index) : this.#tokens[index - before]!;
  }
}

function follows(gram: Gram | undefined, token: number): boolean {
  if (gram === undefined) return false;
  return gram.next instanceof Set ? gram.next.has(token) : gram.next === token;
}

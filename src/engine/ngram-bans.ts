/** The bans of noRepeatNgram for every sequence that is asked about, kept up to date as its tokens come. */
import { NgramIndex } from './ngram-index.ts';
import type { Request, Sequence } from './sequence.ts';

const none: Iterable<number> = [];

export class NgramBans {
  /** All sequences of a request go on from one prompt. */
  readonly #prompts = new WeakMap<Request, NgramIndex>();
  readonly #sequences = new WeakMap<Sequence, NgramIndex>();

  /** Tokens that may not come next, none twice: at most as many as the sequence has, or as there are in the vocabulary. */
  of(sequence: Sequence): Iterable<number> {
    return sequence.request.params.noRepeatNgram > 0 ? this.#indexOf(sequence).banned() : none;
  }

  #indexOf(sequence: Sequence): NgramIndex {
    const { request, generated } = sequence;
    let index = this.#sequences.get(sequence);
    if (index === undefined || !isCurrent(index, sequence)) {
      index = new NgramIndex(request.params.noRepeatNgram, this.#promptOf(request));
      this.#sequences.set(sequence, index);
    }
    for (let i = index.own.count; i < generated.length; i++) index.push(generated[i]!);
    return index;
  }

  #promptOf(request: Request): NgramIndex {
    let index = this.#prompts.get(request);
    if (index === undefined) {
      index = new NgramIndex(request.params.noRepeatNgram);
      for (const token of request.prompt) index.push(token);
      this.#prompts.set(request, index);
    }
    return index;
  }
}

/** Whether the index is of the tokens that the sequence has now: a beam may go on from another one's. */
function isCurrent(index: NgramIndex, { request, generated }: Sequence): boolean {
  const { count, last } = index.own;
  if (count > generated.length || last !== generated[count - 1]) return false;
  return request.params.beam === null || index.isStartOf(generated);
}

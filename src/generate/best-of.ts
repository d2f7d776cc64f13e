/** The best of several sampled answers: those of the greatest mean log-probability, the model's own. */
import type { GenerateChunk } from '../request.ts';
import { joinChunks } from './chunks.ts';

export class BestOf {
  readonly #chunks: GenerateChunk[][];

  constructor(answers: number) {
    this.#chunks = Array.from({ length: answers }, () => []);
  }

  /** @param chunk with the log-probabilities of its tokens */
  add(chunk: GenerateChunk): void {
    this.#chunks[chunk.index]!.push(chunk);
  }

  /**
   * The best n, whole, best first and numbered so; of equals the earlier one goes first.
   * @param logprobs whether they keep their log-probabilities
   */
  best(n: number, logprobs: boolean): GenerateChunk[] {
    return this.#chunks
      .map((chunks, index) => joinChunks(chunks, index))
      .map(answer => ({ answer, mean: meanLogprob(answer) }))
      .sort((a, b) => (a.mean === b.mean ? 0 : b.mean - a.mean))
      .slice(0, n)
      .map(({ answer: { logprobs: reported, ...answer } }, index) => ({
        ...answer,
        index,
        ...(logprobs && reported && { logprobs: reported }),
      }));
  }
}

function meanLogprob({ logprobs = [] }: GenerateChunk): number {
  if (logprobs.length === 0) return Number.NEGATIVE_INFINITY;
  return logprobs.reduce((sum, { logprob }) => sum + logprob, 0) / logprobs.length;
}

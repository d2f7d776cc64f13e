/** The log-probabilities of the tokens that the decoder reads, as they come from the engine. */
import type { TokenLogprobs } from '../engine/protocol.ts';
import { RedllmError } from '../errors.ts';
import type { GenerateRequest, PromptLogprob } from '../request.ts';
import type { ServedModel } from '../served-model.ts';
import type { Tokenizer } from '../text/tokenizer.ts';
import { integer } from './checks.ts';
import { LIMITS } from './params.ts';
import type { ResolvedPrompt } from './prompt.ts';
import { namedLogprob, unscored } from './token-names.ts';

/**
 * @returns alternatives with each token of the prompt; null: it is not to be scored
 * @throws RedllmError `invalid_value` or `unsupported`, naming prompt_logprobs, n, best_of or use_beam_search
 */
export function resolvePromptLogprobs(request: GenerateRequest, model: ServedModel): number | null {
  if (request.promptLogprobs === undefined) return null;
  const asked = integer('prompt_logprobs', request.promptLogprobs, { min: 0, max: LIMITS.alternatives });
  if ((request.n ?? 1) !== 1)
    throw new RedllmError('unsupported', `n is ${request.n}, but must be 1 with log-probabilities of the prompt.`, {
      param: 'n',
    });
  if ((request.bestOf ?? 1) !== 1 || request.beam !== undefined) {
    const param = request.beam === undefined ? 'best_of' : 'use_beam_search';
    const message = `${param} is not served together with log-probabilities of the prompt.`;
    throw new RedllmError('unsupported', message, { param });
  }
  if (model.spec.mask === 'prefix')
    throw new RedllmError(
      'unsupported',
      `The tokens of a prompt of model ${model.name} see each other, so they have no log-probabilities; POST /v1/score gives those of what follows a prompt.`,
      { param: 'prompt_logprobs' },
    );
  return asked;
}

export class PromptScores {
  readonly #tokenizer: Tokenizer | null;
  readonly #alternatives: number;
  /** The first token, where nothing stands before it; given out with whatever comes first. */
  #first: readonly number[];
  readonly #scored: readonly number[];
  #given = 0;

  /** @param alternatives to report with each token */
  constructor(prompt: ResolvedPrompt, tokenizer: Tokenizer | null, alternatives: number) {
    this.#tokenizer = tokenizer;
    this.#alternatives = alternatives;
    // The server's start token has none either, and is not shown.
    this.#scored = prompt.tokens.slice(1);
    this.#first = prompt.context.slice(0, prompt.context.length - this.#scored.length);
  }

  /** How many tokens the engine is to score. */
  get scored(): number {
    return this.#scored.length;
  }

  /** The next tokens' log-probabilities. */
  take(scores: readonly TokenLogprobs[]): PromptLogprob[] {
    const first = this.#first.map(token => unscored(this.#tokenizer, token));
    this.#first = [];
    return [
      ...first,
      ...scores.map(score => namedLogprob(this.#tokenizer, this.#scored[this.#given++]!, score, this.#alternatives)),
    ];
  }
}

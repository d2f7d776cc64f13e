/** One of the n answers of a request: from the engine's events to chunks of text. */
import type { SamplingParams, SequenceEvent, TokenLogprobs } from '../engine/protocol.ts';
import type { GenerateChunk, TokenLogprob } from '../request.ts';
import { Detokenizer } from '../text/detokenizer.ts';
import { StopMatcher } from '../text/stop.ts';
import type { Tokenizer } from '../text/tokenizer.ts';
import type { PromptScores } from './prompt-scores.ts';
import { namedLogprob } from './token-names.ts';

export interface AnswerOptions {
  /** null: the chunks carry tokens and no text. */
  readonly tokenizer: Tokenizer | null;
  readonly params: SamplingParams;
  readonly stops: readonly string[];
  readonly includeStop: boolean;
  readonly skipSpecialTokens: boolean;
  /** Tokens that the answer continues. */
  readonly context: readonly number[];
  /** Alternatives to report with each token; -1: no log-probabilities, whatever the engine reports. */
  readonly logprobs: number;
  /** null: log-probabilities of the prompt are not asked for. */
  readonly promptScores: PromptScores | null;
}

export class Answer {
  readonly #index: number;
  readonly #options: AnswerOptions;
  readonly #detokenizer: Detokenizer | null;
  readonly #matcher: StopMatcher;
  #tokens = 0;
  #done = false;

  constructor(index: number, options: AnswerOptions) {
    const { tokenizer, context: after, skipSpecialTokens, stops, includeStop } = options;
    this.#index = index;
    this.#options = options;
    this.#detokenizer = tokenizer && new Detokenizer(tokenizer, { skipSpecialTokens, after });
    this.#matcher = new StopMatcher(stops, { includeStop });
  }

  /** Tokens of the answer so far, the one that ended it included. */
  get tokens(): number {
    return this.#tokens;
  }

  get done(): boolean {
    return this.#done;
  }

  /** null: the event brings nothing, or comes after a stop string has ended the answer. */
  take(event: SequenceEvent): GenerateChunk | null {
    if (this.#done) return null;
    let text = '';
    let stop: string | null = null;
    let taken = 0;
    while (taken < event.tokens.length && stop === null) {
      const token = event.tokens[taken]!;
      taken++;
      this.#tokens++;
      const ends = event.finish !== undefined && taken === event.tokens.length;
      if (ends && !this.#shows(token, event)) continue;
      const found = this.#match(this.#detokenizer?.push([token]) ?? '');
      text += found.text;
      stop = found.stop;
    }
    if (event.finish !== undefined && stop === null) {
      const found = this.#match(this.#detokenizer?.finish() ?? '');
      stop = found.stop;
      text += found.text + (stop === null ? this.#matcher.finish() : '');
    }
    const promptLogprobs = this.#options.promptScores?.take(event.scores ?? []) ?? [];
    if (taken === 0 && text === '' && event.finish === undefined && promptLogprobs.length === 0) return null;
    this.#done = stop !== null || event.finish !== undefined;
    return {
      index: this.#index,
      text,
      tokens: event.tokens.slice(0, taken),
      ...(event.logprobs &&
        this.#options.logprobs >= 0 && { logprobs: this.#logprobs(event.tokens, event.logprobs.slice(0, taken)) }),
      ...(promptLogprobs.length > 0 && { promptLogprobs }),
      ...(event.beamScore !== undefined && { beamScore: event.beamScore }),
      ...(this.#done && { finish: finishOf(event, stop) }),
    };
  }

  /** Whether the token that ended the answer is shown: never the model's own end token, a stop token where asked. */
  #shows(token: number, event: SequenceEvent): boolean {
    if (this.#options.params.endTokens.includes(token)) return false;
    return event.finish !== 'stop' || this.#options.includeStop;
  }

  /** Stop strings count from the token after min_tokens on. */
  #match(piece: string): { readonly text: string; readonly stop: string | null } {
    return this.#tokens < this.#options.params.minTokens ? { text: piece, stop: null } : this.#matcher.push(piece);
  }

  #logprobs(tokens: readonly number[], logprobs: readonly TokenLogprobs[]): TokenLogprob[] {
    const { tokenizer, logprobs: alternatives } = this.#options;
    return logprobs.map((its, at) => {
      const { rank: _, ...logprob } = namedLogprob(tokenizer, tokens[at]!, its, alternatives);
      return logprob;
    });
  }
}

function finishOf(event: SequenceEvent, stop: string | null): NonNullable<GenerateChunk['finish']> {
  if (stop !== null) return { reason: 'stop', stopReason: stop };
  if (event.finish === 'length') return { reason: 'length', stopReason: null };
  return { reason: 'stop', stopReason: event.stopToken ?? null };
}

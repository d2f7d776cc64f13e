/**
 * The messages between the engine's handle (any thread) and its Worker: the only shapes that cross. All plain data.
 * One `events` message a step carries everything that step brought.
 */
import type { DeviceOptions } from '../device.ts';
import type { PlainError } from '../errors.ts';
import type { ComputeType, GenerationDefaults, ModelSpec } from '../models/spec.ts';
import type { WeightSource } from '../models/weights.ts';
import type { ModelFootprint, MultiplyAdds } from '../native.ts';

/** A model to load: resolved and checked by src/models before it is sent. */
export interface ModelToLoad {
  readonly name: string;
  readonly spec: ModelSpec;
  readonly compute: ComputeType;
  readonly weights: WeightSource;
  readonly defaults: GenerationDefaults;
  /** Greatest source and target (prompt and answer together) in tokens. */
  readonly maxSource: number;
  readonly maxTarget: number;
}

export interface EngineOptions extends DeviceOptions {
  /** Tokens (source and decoder) that a step may take; a source or prefix-LM prompt that is longer gets a step of its own. */
  readonly maxBatchTokens: number;
  /** Rows of the running batch, a model. */
  readonly maxRows: number;
  /** Bytes for K/V pages, all models together; null: the default of where it runs (page-memory.ts). */
  readonly kvMemory: number | null;
  /** Requests that may wait, all models together; beyond it submit fails with `queue_full`. */
  readonly maxQueue: number;
  /** Source and prompt tokens that waiting requests may hold together; one request alone may always wait. */
  readonly maxQueueTokens: number;
}

/** How to choose tokens; every field resolved, so that the engine knows no defaults. */
export interface SamplingParams {
  /** Tokens to generate at most, the forced ones included. */
  readonly maxTokens: number;
  /** End and stop tokens are banned before this many. */
  readonly minTokens: number;
  /** 0: greedy. */
  readonly temperature: number;
  /** 0: all. */
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
  readonly logitBias: readonly (readonly [token: number, bias: number])[];
  /** 64 bits as two words. Sequence i of n uses its own stream derived from it. */
  readonly seed: readonly [low: number, high: number];
  /** Alternatives to report with each token; 0: the chosen one's log-probability; -1: none. */
  readonly logprobs: number;
  /** Tokens that end the answer and are kept out of nothing: they are reported, with reason `stop`. End tokens of the model included unless ignored. */
  readonly stopTokens: readonly number[];
  /** Which of stopTokens are the model's own end tokens: their text is never shown, and stop_reason stays null. */
  readonly endTokens: readonly number[];
  readonly forcedFirst: number | null;
  readonly forcedLast: number | null;
  /** A sequence of so many tokens may not come twice in the decoder's tokens, as transformers has it; 0: no such ban. */
  readonly noRepeatNgram: number;
  /** Token sequences that may not come in the answer; each has one token at least. */
  readonly badWords: readonly (readonly number[])[];
  /** The only tokens that may be chosen; null: all. Forced tokens and end tokens are not exempt. */
  readonly allowedTokens: readonly number[] | null;
  /** Beam search instead of sampling; null: none. With it, n of the request is how many hypotheses are wanted. */
  readonly beam: BeamParams | null;
}

/** Beam search as transformers has it (GenerationMixin._beam_search). */
export interface BeamParams {
  /** Live beams; at least n. */
  readonly width: number;
  /** A hypothesis' score is the sum of its log-probabilities divided by (generated tokens, end token included) ^ lengthPenalty. */
  readonly lengthPenalty: number;
  /** true: stop at `width` hypotheses; false: when no live beam looks better; never: when none can be better. */
  readonly earlyStopping: boolean | 'never';
  /** Stop at round(width * patience) hypotheses (arXiv 2204.05424), instead of the rule above; null: that rule. */
  readonly patience: number | null;
}

export interface SubmitMessage {
  readonly type: 'submit';
  readonly id: number;
  readonly model: string;
  /** Encoder input; null for decoder-only models. */
  readonly source: Int32Array | null;
  /** Decoder tokens that the answer continues: the start token and decoder prompt, or the whole prompt of a decoder-only model. Not empty. */
  readonly prompt: Int32Array;
  readonly n: number;
  readonly params: SamplingParams;
  /**
   * The last so many tokens of the prompt are scored: their log-probabilities come with the request's events, and a
   * prefix-LM's prefix ends before them. 0: none. Only then may maxTokens be 0, and n must be 1.
   */
  readonly scored: number;
  /** Classes: a lesser number goes first; 0 is usual. Within one, who came first goes first. */
  readonly priority: number;
  /** Who asks, for a fair share among those who do; null: nobody in particular. */
  readonly client: string | null;
  /** Only requests of the same salt may reuse what this one computed; null: those without one. */
  readonly cacheSalt: string | null;
  /** Absolute, by clock.ts; null: none. Past it the request ends with `deadline_exceeded`. */
  readonly deadline: number | null;
}

/** Rows that a request takes in the batch. */
export function rowsOf({ n, params }: Pick<SubmitMessage, 'n' | 'params'>): number {
  return params.beam?.width ?? n;
}

export type ToWorker =
  | SubmitMessage
  | { readonly type: 'load'; readonly model: ModelToLoad }
  /** All of a request, or one of its n sequences: those then end with reason `cancelled`. */
  | { readonly type: 'cancel'; readonly id: number; readonly index?: number }
  | { readonly type: 'stats' }
  | { readonly type: 'close' };

export type FinishReason = 'stop' | 'length' | 'cancelled';

/** The log-probabilities of one generated token. */
export interface TokenLogprobs {
  readonly logprob: number;
  readonly rank: number;
  readonly top: readonly (readonly [token: number, logprob: number])[];
}

/** What one sequence of one request gained in a step. */
export interface SequenceEvent {
  readonly id: number;
  /** Which of the n sequences. */
  readonly index: number;
  readonly tokens: readonly number[];
  /** As many as tokens, where asked. */
  readonly logprobs?: readonly TokenLogprobs[];
  /** Of the next of the request's `scored` prompt tokens; they come in order, over one event or several. */
  readonly scores?: readonly TokenLogprobs[];
  /** With the finish of a beam's hypothesis: its score. */
  readonly beamScore?: number;
  readonly finish?: FinishReason;
  /** The stop token that ended it, where that was not one of the model's end tokens. */
  readonly stopToken?: number;
  /** With the first event of a request: prompt tokens that a cache already held. */
  readonly cachedTokens?: number;
  /** Seconds that the request waited before its first step; with its first event. */
  readonly queueTime?: number;
}

export interface FailureEvent {
  readonly id: number;
  readonly error: PlainError;
}

/** Gauges and running totals of one model; counters only grow. */
export interface ModelStats {
  readonly model: string;
  readonly waiting: number;
  readonly running: number;
  /** Of self and cross, `cached` are those that only a cache holds. */
  readonly pages: {
    readonly total: number;
    readonly self: number;
    readonly cross: number;
    readonly cachedSelf: number;
    readonly cachedCross: number;
  };
  /** Sources that are still to be encoded, of admitted requests. */
  readonly encoderQueue: number;
  readonly preemptions: number;
  /** Decoder tokens that were looked up in the prefix cache, and those it had. */
  readonly prefixQueries: number;
  readonly prefixHits: number;
  readonly promptTokens: number;
  readonly generatedTokens: number;
  readonly sourcesEncoded: number;
  readonly sourceTokens: number;
  /** Steps that ran encoder layers, and the sources in them: their quotient is the mean batch. */
  readonly encodeSteps: number;
  readonly encodeRuns: number;
  readonly sourceHits: number;
  readonly sourceQueries: number;
  readonly steps: number;
  /** Seconds in launch and collect. */
  readonly stepTime: number;
  /** Of those, in steps that encoded a source. */
  readonly encodeStepTime: number;
  /** That all steps launched so far came to. */
  readonly multiplyAdds: MultiplyAdds;
}

export type FromWorker =
  | {
      readonly type: 'ready';
      readonly device: string;
      readonly threads: number;
      /** OpenedRuntime.notice */
      readonly notice: string | null;
    }
  | { readonly type: 'progress'; readonly model: string; readonly done: number; readonly total: number }
  | {
      readonly type: 'loaded';
      readonly model: string;
      readonly footprint: ModelFootprint;
      readonly pages: number;
      /** As asked, or less where the memory for keys and values could not hold one request of that length. */
      readonly maxSource: number;
      readonly maxTarget: number;
    }
  | { readonly type: 'load-failed'; readonly model: string; readonly error: PlainError }
  | {
      readonly type: 'events';
      readonly sequences: readonly SequenceEvent[];
      readonly failures: readonly FailureEvent[];
      /** Requests that left the queue for the running batch. */
      readonly admitted: readonly number[];
    }
  | { readonly type: 'stats'; readonly models: readonly ModelStats[] }
  | { readonly type: 'dead'; readonly error: PlainError }
  | { readonly type: 'closed' };

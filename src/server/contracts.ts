/** What the server needs of the rooms below it, as shapes: src/generate.ts and src/engine/engine.ts fit them, and so do the fakes of tests. */
import type { ModelStats } from '../engine/protocol.ts';
import type { GenerationDefaults, ModelSpec } from '../models/spec.ts';
import type { GenerateChunk, GenerateRequest, ScoreRequest, ScoreResult, Usage } from '../request.ts';

export interface TokenizerLike {
  decode(ids: readonly number[], options?: { skipSpecialTokens?: boolean }): string;
}

export interface TemplateLike {
  /** @throws RedllmError where the template refuses the messages */
  render(messages: readonly ChatMessage[], options?: ChatOptions): string;
  /** Whether the tokenizer should still add its special tokens: not where the template has written them. */
  needsSpecialTokens(rendered: string): boolean;
}

export interface ChatMessage {
  readonly role: string;
  /** Text, or parts of which each is text. */
  readonly content?: unknown;
  readonly [field: string]: unknown;
}

export interface ChatOptions {
  readonly addGenerationPrompt?: boolean;
  readonly continueFinalMessage?: boolean;
  /** Further variables of the template. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

export interface ServedModelLike {
  readonly name: string;
  readonly spec: ModelSpec;
  readonly defaults: GenerationDefaults;
  readonly maxSource: number;
  readonly maxTarget: number;
  /** null: the checkpoint has none, and the model serves token ids alone. */
  readonly tokenizer: TokenizerLike | null;
  /** Of the decoder's tokens: the same one where the checkpoint has no other for them. */
  readonly targetTokenizer: TokenizerLike | null;
  readonly template: TemplateLike | null;
  /** Seconds since 1970. */
  readonly created: number;
}

/** Which of a model's vocabularies, where it has two. */
export type Side = 'source' | 'target';

export interface GeneratorLike {
  generate(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<GenerateChunk, Usage>;
  /** @param parallel candidates that are in the engine at a time */
  score(request: ScoreRequest, parallel: number, signal?: AbortSignal): Promise<ScoreResult>;
  /** @throws RedllmError `model_not_found` */
  model(name: string): ServedModelLike;
  /** @throws RedllmError `unsupported` where there is no tokenizer, `queue_full`, `cancelled`, `deadline_exceeded` */
  tokenize(request: {
    model: string;
    prompt: string;
    addSpecialTokens?: boolean;
    side?: Side;
    /** Whether `texts` are wanted; they are null where they are not. */
    texts?: boolean;
    signal?: AbortSignal;
    /** Milliseconds that it may take. */
    timeout?: number;
  }): Promise<{ readonly tokens: readonly number[]; readonly texts: readonly string[] | null }>;
  /** @throws RedllmError `unsupported` where there is no tokenizer, `invalid_value` for an id out of range or too many */
  detokenize(request: { model: string; tokens: readonly number[]; skipSpecialTokens?: boolean; side?: Side }): string;
  models(): readonly ServedModelLike[];
}

export interface EngineLike {
  stats(): Promise<readonly ModelStats[]>;
  /** Why the engine serves no more; null while it does. */
  readonly dead: Error | null;
}

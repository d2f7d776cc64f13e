/**
 * ModelSpec: what a checkpoint computes, as data. A family file turns `config.json` into one; native code
 * (native/spec.h mirrors this file field by field) runs it and knows no family.
 *
 * The vocabulary here is wider than what the ops serve today, so that a family can be written down before its last op is:
 * `unservedParts` (unserved.ts) names what is missing, and loading stops with that sentence.
 */

/** A tensor of the checkpoint: its name and the shape it must have. Shapes are as stored: a projection is [out, in]. */
export interface WeightRef {
  readonly name: string;
  readonly shape: readonly number[];
  /** The first `skip` rows are not used (BART's position table begins at row 2). */
  readonly skip?: number;
}

export type ComputeType = 'float32' | 'bfloat16';
export type Activation = 'relu' | 'gelu' | 'gelu_tanh' | 'silu';

/** y = norm(x) * (gain + gainOffset) + bias. rms: x / sqrt(mean x^2 + eps); layer: (x - mean) / sqrt(var + eps). */
export interface NormSpec {
  readonly kind: 'rms' | 'layer';
  readonly eps: number;
  /** Absent: parameter-free. */
  readonly gain?: WeightRef;
  /** 1 where the checkpoint stores w of (1 + w), as Gemma's does. */
  readonly gainOffset: 0 | 1;
  readonly bias?: WeightRef;
}

export interface LinearSpec {
  readonly weight: WeightRef;
  readonly bias?: WeightRef;
}

/** Rotation by halves of the first `dimensions` of each head: angle = position * (theta^(-2i/dimensions) / factor). */
export interface RopeSpec {
  readonly theta: number;
  readonly dimensions: number;
  /** Linear position scaling; 1 is none. */
  readonly factor: number;
  readonly rotatesQuery: boolean;
  readonly rotatesKey: boolean;
}

/** T5's bucketed bias: one table [buckets, heads], added to the logits by key index minus query index. */
export interface RelativeBiasSpec {
  readonly table: WeightRef;
  readonly buckets: number;
  readonly maxDistance: number;
  readonly bidirectional: boolean;
}

export interface AttentionSpec {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Factor on q.k before soft-cap and bias. */
  readonly scale: number;
  readonly query: LinearSpec;
  readonly key: LinearSpec;
  readonly value: LinearSpec;
  readonly output: LinearSpec;
  /** Norms over headDim, per head, before the rotation (output: before the output projection). */
  readonly queryNorm?: NormSpec;
  readonly keyNorm?: NormSpec;
  readonly valueNorm?: NormSpec;
  readonly outputNorm?: NormSpec;
  readonly rope?: RopeSpec;
  /** cap * tanh(logit / cap). */
  readonly softcap?: number;
  /** A query at index t sees keys t - back <= k <= t + ahead (besides what the mask allows). Absent: all. */
  readonly window?: { readonly back: number; readonly ahead: number };
  readonly relativeBias?: RelativeBiasSpec;
  /** T5Gemma 2: these same weights also attend to the source, under one softmax with the self keys. */
  readonly merged?: true;
}

/**
 * A sub-layer x -> x + f(x) and where its norms stand.
 * pre: f(norm(x)); post: x + norm(f(.)) (sandwich); after: norm(x + f(.)) (post-LN, as in BART).
 */
export interface Residual<F> {
  readonly pre?: NormSpec;
  readonly post?: NormSpec;
  readonly after?: NormSpec;
  readonly block: F;
}

/** down(act(gate x) * (up x)), or down(act(up x)) where there is no gate. */
export interface FeedForwardSpec {
  readonly activation: Activation;
  readonly gate?: LinearSpec;
  readonly up: LinearSpec;
  readonly down: LinearSpec;
}

export interface LayerSpec {
  readonly self: Residual<AttentionSpec>;
  /** Keys and values come from the final states of the encoder. */
  readonly cross?: Residual<AttentionSpec>;
  readonly feedForward: Residual<FeedForwardSpec>;
}

/** Absolute positions added to the embedding. Row `index` of a learned table is used for token `index` (after its `skip`). */
export type PositionSpec =
  | { readonly kind: 'learned'; readonly table: WeightRef }
  | {
      readonly kind: 'sinusoidal';
      readonly layout: 'halves' | 'interleaved';
      readonly offset: number;
      readonly max: number;
    };

export interface StackSpec {
  readonly width: number;
  readonly embedding: WeightRef;
  /** Factor on the looked-up row. */
  readonly embeddingScale: number;
  readonly positions?: PositionSpec;
  /** Norm of the embedded input (BART's layernorm_embedding). */
  readonly embeddingNorm?: NormSpec;
  readonly layers: readonly LayerSpec[];
  readonly finalNorm?: NormSpec;
}

export interface HeadSpec {
  /** [vocabulary, width]; the embedding's own WeightRef where tied. */
  readonly weight: WeightRef;
  readonly bias?: WeightRef;
  /** Factor on the product before the bias. */
  readonly scale: number;
  readonly softcap?: number;
}

export interface ModelSpec {
  /** `model_type` of the checkpoint; for people and metrics, never for a decision. */
  readonly family: string;
  /** Absent: decoder-only. */
  readonly encoder?: StackSpec;
  readonly decoder: StackSpec;
  readonly head: HeadSpec;
  /** Of the decoder's self-attention: `prefix` lets all tokens of the prompt see each other. */
  readonly mask: 'causal' | 'prefix';
  /** Where the decoder's first token stands for its rotation: at 0, or after the source (RedLLM). */
  readonly decoderPositions: 'zero' | 'after-source';
  readonly vocabulary: { readonly source: number; readonly target: number };
  /** Greatest number of source tokens and of decoder tokens (prompt and answer) that the weights allow. Absent: no limit of their own. */
  readonly maxSource?: number;
  readonly maxTarget?: number;
}

/** What serving needs to know besides: from config.json and generation_config.json. */
export interface GenerationDefaults {
  /** The decoder's first token, put there by the server (encoder-decoder). */
  readonly startToken?: number;
  /**
   * Stands before a TEXT prompt of a decoder-only model where the checkpoint's tokenizer has no post-processor that adds it
   * (DecLLM's `<s>`). Prompts given as ids are taken verbatim and never receive it.
   */
  readonly promptStart?: number;
  readonly endTokens: readonly number[];
  readonly padToken?: number;
  readonly forcedFirst?: number;
  readonly forcedLast?: number;
  /** Sampling defaults of generation_config.json, used where a request says nothing. */
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly noRepeatNgram?: number;
  /** Token sequences that may not come in an answer. */
  readonly badWords?: readonly (readonly number[])[];
  readonly maxNewTokens?: number;
  /** Of beam search, for requests that ask for one. */
  readonly numBeams?: number;
  readonly lengthPenalty?: number;
  readonly earlyStopping?: boolean | 'never';
}

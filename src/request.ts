/**
 * One request from text to text, as every front door (HTTP, WebSocket, CLI) hands it to `generate` and as the answer comes
 * back. Absent means: the model's default, then the server's.
 */

export interface GenerateRequest {
  readonly model: string;
  /** The source of an encoder-decoder model, the prompt of a decoder-only one. Ids are taken verbatim; text is tokenised. */
  readonly prompt: string | readonly number[];
  /** The start of the answer, after the start token (encoder-decoder only). Counts as prompt; not repeated in the answer. */
  readonly decoderPrompt?: string | readonly number[];
  /** Text only: let the tokenizer's post-processor add BOS or EOS. Default true. */
  readonly addSpecialTokens?: boolean;
  /** Keep only the last so many prompt tokens (decoder-only) or the first so many (source). */
  readonly truncatePrompt?: number;

  readonly n?: number;
  /**
   * Without beams: answers to make, of which the n of the greatest mean log-probability are given, at the end. With beams: how
   * many live. Default: n; with beams the checkpoint's num_beams, where that is more.
   */
  readonly bestOf?: number;
  /** Beam search; the n best hypotheses are the answers. Sampling, penalties, bias and stop strings do not go with it. */
  readonly beam?: BeamRequest;
  readonly maxTokens?: number;
  readonly minTokens?: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly presencePenalty?: number;
  readonly frequencyPenalty?: number;
  readonly logitBias?: ReadonlyMap<number, number>;
  readonly seed?: number;
  readonly logprobs?: number;
  readonly stop?: readonly string[];
  readonly stopTokens?: readonly number[];
  readonly includeStop?: boolean;
  readonly ignoreEos?: boolean;
  readonly skipSpecialTokens?: boolean;
  /** null: none, even where the checkpoint has one. */
  readonly forcedFirst?: number | null;
  readonly forcedLast?: number | null;
  /** Milliseconds that the request may take in all. */
  readonly timeout?: number;
}

/** What a request may say of its beams: see BeamParams of the engine's protocol. */
export interface BeamRequest {
  readonly lengthPenalty?: number;
  readonly earlyStopping?: boolean | 'never';
  readonly patience?: number;
}

export interface TokenLogprob {
  readonly token: number;
  /** The token's own text (may be a part of a character), and its bytes. */
  readonly text: string;
  readonly bytes: readonly number[];
  readonly logprob: number;
  readonly top: readonly {
    readonly token: number;
    readonly text: string;
    readonly bytes: readonly number[];
    readonly logprob: number;
  }[];
}

/** What one of the n answers gained. `text` never ends in half a character nor in what may become a stop string. */
export interface GenerateChunk {
  readonly index: number;
  readonly text: string;
  readonly tokens: readonly number[];
  readonly logprobs?: readonly TokenLogprob[];
  /** With the first chunk of a request, whichever answer it belongs to. */
  readonly begin?: {
    /** What the model read: source, then decoder prompt, without the start token that the server adds. As many as Usage counts. */
    readonly promptTokens: readonly number[];
    readonly cachedTokens: number;
    /** Seconds that the request waited before its first step. */
    readonly queueTime: number;
  };
  /** With the finish of a beam search's answer: its score (BeamParams.lengthPenalty says how it is made). */
  readonly beamScore?: number;
  readonly finish?: {
    readonly reason: 'stop' | 'length';
    /** The stop string or stop token that ended it; null for the model's own end token and for length. */
    readonly stopReason: string | number | null;
  };
}

export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly cachedTokens: number;
}

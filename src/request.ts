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
  /** No so many tokens may stand twice among the decoder's tokens; 0: no such ban. */
  readonly noRepeatNgram?: number;
  /** What may not come in the answer. Ids are taken verbatim; text is tokenised, as it is and after a space. Empty: nothing. */
  readonly badWords?: readonly (string | readonly number[])[];
  /** The only tokens that may be chosen. */
  readonly allowedTokens?: readonly number[];
  readonly seed?: number;
  readonly logprobs?: number;
  /** Alternatives to report with each token that the decoder reads before the answer; only then may maxTokens be 0. n must be 1. */
  readonly promptLogprobs?: number;
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
  /** Lesser numbers go first; 0 is usual. */
  readonly priority?: number;
  /** Who asks, for a fair share among those who do. */
  readonly client?: string;
  /** Only requests of the same salt may reuse what this one computed. */
  readonly cacheSalt?: string;
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

/** A token that was read rather than generated. */
export interface PromptLogprob extends Omit<TokenLogprob, 'logprob'> {
  /** null: no token stands before it. */
  readonly logprob: number | null;
  /** 1 + number of tokens more probable than it. */
  readonly rank: number | null;
}

/** What one of the n answers gained. `text` never ends in half a character nor in what may become a stop string. */
export interface GenerateChunk {
  readonly index: number;
  readonly text: string;
  readonly tokens: readonly number[];
  readonly logprobs?: readonly TokenLogprob[];
  /**
   * Where asked, of the next tokens that the decoder read: the prompt, or the decoder prompt without the server's start
   * token. They come in order, before the answer, over one chunk or several.
   */
  readonly promptLogprobs?: readonly PromptLogprob[];
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

/** Candidates to be scored after one source, or one prompt. */
export interface ScoreRequest
  extends Pick<
    GenerateRequest,
    | 'model'
    | 'prompt'
    | 'decoderPrompt'
    | 'addSpecialTokens'
    | 'truncatePrompt'
    | 'timeout'
    | 'priority'
    | 'client'
    | 'cacheSalt'
  > {
  /** Ids are taken verbatim; text is tokenised as an answer. Not empty. */
  readonly candidates: readonly (string | readonly number[])[];
  /** Let each candidate end with an end token. Default: text does, where the model has one, and ids stay as they are. */
  readonly appendEos?: boolean;
  /** Alternatives to report with each token. Default 0. */
  readonly logprobs?: number;
}

/** The log-probabilities of a candidate's tokens, each after those before it; as many as it has. */
export interface CandidateScore {
  readonly logprobs: readonly (PromptLogprob & { readonly logprob: number })[];
}

export interface ScoreResult {
  /** In the order of the candidates. */
  readonly scores: readonly CandidateScore[];
  /** The source or prompt counts once; the candidates are prompt, too. */
  readonly usage: Usage;
}

export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly cachedTokens: number;
}

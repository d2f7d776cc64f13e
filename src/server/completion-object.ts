/** Text completions on the wire: the whole answer and the chunk of a stream, which differ in little. */
import { randomUUID } from 'node:crypto';
import type { GenerateChunk } from '../request.ts';
import { completionLogprobs, promptLogprobs, textLength } from './logprobs.ts';

export interface CompletionHead {
  readonly id: string;
  readonly object: 'text_completion';
  readonly created: number;
  readonly model: string;
}

/** The fields that all objects of one answer share. */
export function completionHead(model: string, requestId: string | undefined): CompletionHead {
  return {
    id: `cmpl-${requestId ?? randomUUID()}`,
    object: 'text_completion',
    created: Math.floor(Date.now() / 1000),
    model,
  };
}

/** Alternatives that are reported with each token; undefined: no log-probabilities are. */
export interface AskedLogprobs {
  readonly generated: number | undefined;
  /** In `logprobs`, before those of the answer. */
  readonly echoed: boolean;
  /** In `prompt_logprobs`. */
  readonly prompt: number | undefined;
}

/** Tokens whose log-probabilities stand in `logprobs`. */
const listed = (chunk: GenerateChunk, { echoed }: AskedLogprobs) => [
  ...((echoed && chunk.promptLogprobs) || []),
  ...(chunk.logprobs ?? []),
];

/** Characters of the tokens that this chunk adds to `logprobs`. */
export const listedLength = (chunk: GenerateChunk, asked: AskedLogprobs) => textLength(listed(chunk, asked));

export interface CompletionChoiceParts {
  readonly index: number;
  readonly chunk: GenerateChunk;
  /** What `echo` puts before this text. */
  readonly echo: string;
  /** Characters of the answer before this chunk. */
  readonly offset: number;
  readonly asked: AskedLogprobs;
  /** Present: report token ids, and the prompt's own with this chunk. */
  readonly tokenIds?: { readonly prompt: readonly number[] | null };
}

export function completionChoice({ index, chunk, echo, offset, asked, tokenIds }: CompletionChoiceParts) {
  const tokens = listed(chunk, asked);
  return {
    index,
    text: echo + chunk.text,
    logprobs:
      asked.generated !== undefined && (chunk.logprobs || tokens.length > 0)
        ? completionLogprobs(tokens, asked.generated, offset)
        : null,
    finish_reason: chunk.finish?.reason ?? null,
    stop_reason: chunk.finish?.stopReason ?? null,
    ...(asked.prompt !== undefined &&
      chunk.promptLogprobs && { prompt_logprobs: promptLogprobs(chunk.promptLogprobs, asked.prompt) }),
    ...(chunk.beamScore !== undefined && { beam_score: chunk.beamScore }),
    ...(tokenIds && { token_ids: chunk.tokens, ...(tokenIds.prompt && { prompt_token_ids: tokenIds.prompt }) }),
  };
}

/** Text completions on the wire: the whole answer and the chunk of a stream, which differ in little. */
import { randomUUID } from 'node:crypto';
import type { GenerateChunk } from '../request.ts';
import { completionLogprobs } from './logprobs.ts';

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

export interface CompletionChoiceParts {
  readonly index: number;
  readonly chunk: GenerateChunk;
  /** What `echo` puts before this text. */
  readonly echo: string;
  /** Characters of the answer before this chunk. */
  readonly offset: number;
  /** Present: report token ids, and the prompt's own with this chunk. */
  readonly tokenIds?: { readonly prompt: readonly number[] | null };
}

export function completionChoice({ index, chunk, echo, offset, tokenIds }: CompletionChoiceParts) {
  return {
    index,
    text: echo + chunk.text,
    logprobs: chunk.logprobs ? completionLogprobs(chunk.logprobs, offset) : null,
    finish_reason: chunk.finish?.reason ?? null,
    stop_reason: chunk.finish?.stopReason ?? null,
    ...(chunk.beamScore !== undefined && { beam_score: chunk.beamScore }),
    ...(tokenIds && { token_ids: chunk.tokens, ...(tokenIds.prompt && { prompt_token_ids: tokenIds.prompt }) }),
  };
}

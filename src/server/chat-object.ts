/** Chat completions on the wire. */
import { randomUUID } from 'node:crypto';
import type { GenerateChunk } from '../request.ts';
import { chatLogprobs } from './logprobs.ts';

/** The fields that all objects of one answer share. */
export function chatHead(model: string, requestId: string | undefined, stream: boolean) {
  return {
    id: `chatcmpl-${requestId ?? randomUUID()}`,
    object: stream ? 'chat.completion.chunk' : 'chat.completion',
    created: Math.floor(Date.now() / 1000),
    model,
    system_fingerprint: null,
  };
}

const logprobsOf = ({ logprobs }: GenerateChunk) => (logprobs ? chatLogprobs(logprobs) : null);

const endOf = ({ finish, beamScore }: GenerateChunk) => ({
  finish_reason: finish?.reason ?? null,
  stop_reason: finish?.stopReason ?? null,
  ...(beamScore !== undefined && { beam_score: beamScore }),
});

export function chatChoice(index: number, chunk: GenerateChunk, withIds: boolean) {
  return {
    index,
    message: { role: 'assistant', content: chunk.text, refusal: null },
    logprobs: logprobsOf(chunk),
    ...endOf(chunk),
    ...(withIds && { token_ids: chunk.tokens }),
  };
}

/** The first delta of a choice: who speaks, and nothing said. */
export function roleDelta(index: number) {
  return { index, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null };
}

/** What a choice gained, without its end. */
export function textDelta(index: number, chunk: GenerateChunk, withIds: boolean) {
  return {
    index,
    delta: { content: chunk.text },
    logprobs: logprobsOf(chunk),
    finish_reason: null,
    ...(withIds && { token_ids: chunk.tokens }),
  };
}

/** The last delta of a choice: why it ended. */
export function endDelta(index: number, chunk: GenerateChunk) {
  return { index, delta: {}, logprobs: null, ...endOf(chunk) };
}

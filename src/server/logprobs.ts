/** Log-probabilities in the two shapes that OpenAI has for them. */
import type { PromptLogprob, TokenLogprob } from '../request.ts';

/** JSON has no infinity; this is what clients of this API know it by. */
export const number = (logprob: number) => Math.max(logprob, -9999);

/** Characters (code points) that begin in these bytes: a token that is the rest of a character begins none. */
const characters = (bytes: readonly number[]) =>
  bytes.reduce((count, byte) => count + ((byte & 0xc0) === 0x80 ? 0 : 1), 0);

/** Characters of the tokens' texts together. */
export const textLength = (logprobs: readonly (TokenLogprob | PromptLogprob)[]) =>
  logprobs.reduce((sum, { bytes }) => sum + characters(bytes), 0);

/**
 * @param logprobs tokens that were echoed may be among them
 * @param alternatives how many were asked for with each
 * @param offset characters of the answer before these tokens
 */
export function completionLogprobs(
  logprobs: readonly (TokenLogprob | PromptLogprob)[],
  alternatives: number,
  offset: number,
) {
  const offsets: number[] = [];
  for (const { bytes } of logprobs) {
    offsets.push(offset);
    offset += characters(bytes);
  }
  return {
    tokens: logprobs.map(({ text }) => text),
    token_logprobs: logprobs.map(({ logprob }) => (logprob === null ? null : number(logprob))),
    top_logprobs: logprobs.map(({ text: chosen, logprob: its, top: others }) => {
      if (its === null) return null;
      const top: Record<string, number> = {};
      // The most probable come first: where two tokens have the same text, the first keeps the place.
      for (const { text, logprob } of [...others.slice(0, alternatives), { text: chosen, logprob: its }])
        if (!Object.hasOwn(top, text)) top[text] = number(logprob);
      return top;
    }),
    text_offset: offsets,
  };
}

export function chatLogprobs(logprobs: readonly TokenLogprob[]) {
  return {
    content: logprobs.map(({ text, bytes, logprob, top }) => ({
      token: text,
      logprob: number(logprob),
      bytes,
      top_logprobs: top.map(other => ({ token: other.text, logprob: number(other.logprob), bytes: other.bytes })),
    })),
    refusal: null,
  };
}

/** vLLM's shape: a token's own entry and those of the alternatives, by token id; null for a token that nothing precedes. */
export function promptLogprobs(logprobs: readonly PromptLogprob[], alternatives: number) {
  return logprobs.map(({ token, text, logprob, rank, top }) => {
    if (logprob === null) return null;
    const entries: Record<string, { logprob: number; rank: number | null; decoded_token: string }> = {};
    for (const [at, other] of top.slice(0, alternatives).entries())
      entries[other.token] = { logprob: number(other.logprob), rank: at + 1, decoded_token: other.text };
    entries[token] = { logprob: number(logprob), rank, decoded_token: text };
    return entries;
  });
}

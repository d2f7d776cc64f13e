/** Log-probabilities in the two shapes that OpenAI has for them. */
import type { TokenLogprob } from '../request.ts';

/** JSON has no infinity; this is what clients of this API know it by. */
const number = (logprob: number) => Math.max(logprob, -9999);

/** Characters (code points) that begin in these bytes: a token that is the rest of a character begins none. */
const characters = (bytes: readonly number[]) =>
  bytes.reduce((count, byte) => count + ((byte & 0xc0) === 0x80 ? 0 : 1), 0);

/** Characters of the tokens' texts together. */
export const textLength = (logprobs: readonly TokenLogprob[]) =>
  logprobs.reduce((sum, { bytes }) => sum + characters(bytes), 0);

/** @param offset characters of the answer before these tokens */
export function completionLogprobs(logprobs: readonly TokenLogprob[], offset: number) {
  const offsets: number[] = [];
  for (const { bytes } of logprobs) {
    offsets.push(offset);
    offset += characters(bytes);
  }
  return {
    tokens: logprobs.map(({ text }) => text),
    token_logprobs: logprobs.map(({ logprob }) => number(logprob)),
    top_logprobs: logprobs.map(chosen => {
      const top: Record<string, number> = {};
      // The most probable come first: where two tokens have the same text, the first keeps the place.
      for (const { text, logprob } of [...chosen.top, chosen])
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

/** Tokens by the names they have in log-probabilities. */
import type { TokenLogprobs } from '../engine/protocol.ts';
import type { PromptLogprob, TokenLogprob } from '../request.ts';
import type { Tokenizer } from '../text/tokenizer.ts';

type Named = Pick<TokenLogprob, 'token' | 'text' | 'bytes'>;

export function named(tokenizer: Tokenizer | null, token: number): Named {
  const bytes = tokenizer?.tokenBytes(token) ?? new Uint8Array();
  // Without a tokenizer a token still needs a name of its own; this is vLLM's.
  const text = tokenizer ? Buffer.from(bytes).toString() : `token_id:${token}`;
  return { token, text, bytes: Array.from(bytes) };
}

/** @param alternatives how many were asked for; the engine may have reported more */
export function namedLogprob(
  tokenizer: Tokenizer | null,
  token: number,
  { logprob, rank, top }: TokenLogprobs,
  alternatives: number,
): PromptLogprob & { readonly logprob: number } {
  const others = top.slice(0, alternatives).map(([other, its]) => ({ ...named(tokenizer, other), logprob: its }));
  return { ...named(tokenizer, token), logprob, rank, top: others };
}

/** A token that no other stands before. */
export function unscored(tokenizer: Tokenizer | null, token: number): PromptLogprob {
  return { ...named(tokenizer, token), logprob: null, rank: null, top: [] };
}

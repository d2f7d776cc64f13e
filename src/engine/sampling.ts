/** What a request's sampling parameters mean for one sequence at one token: seeds, penalties, forced and banned tokens. */
import type { SamplingParams } from './protocol.ts';

const mask64 = (1n << 64n) - 1n;

/**
 * The 64-bit seed of sequence `index` of n, as [low, high]. The first keeps the request's own, so that the same seed gives the
 * same first answer whatever n is; the others are SplitMix64's outputs from there.
 */
export function sequenceSeed(seed: readonly [low: number, high: number], index: number): [low: number, high: number] {
  if (index === 0) return [seed[0] >>> 0, seed[1] >>> 0];
  const start = (BigInt(seed[1] >>> 0) << 32n) | BigInt(seed[0] >>> 0);
  let z = (start + BigInt(index) * 0x9e3779b97f4a7c15n) & mask64;
  z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & mask64;
  z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & mask64;
  z ^= z >> 31n;
  return [Number(z & 0xffffffffn), Number(z >> 32n)];
}

/** Whether a token history must be kept for it. */
export function usesPenalties(params: SamplingParams): boolean {
  return params.repetitionPenalty !== 1 || params.presencePenalty !== 0 || params.frequencyPenalty !== 0;
}

/** Whether what may come next depends on which tokens came before, beyond what native code counts by itself. */
export function needsTokens({ beam, badWords, noRepeatNgram }: SamplingParams): boolean {
  return beam !== null || noRepeatNgram > 0 || badWords.some(word => word.length > 1);
}

/**
 * The token that must come after `generated` others, or -1; where that is no allowed token, there is none. Where one token is both
 * the first and the last, last wins.
 */
export function forcedToken(params: SamplingParams, generated: number): number {
  const { forcedFirst, forcedLast, maxTokens } = params;
  let forced = -1;
  if (forcedFirst !== null && generated === 0) forced = forcedFirst;
  if (forcedLast !== null && generated === maxTokens - 1) forced = forcedLast;
  return forced >= 0 && isAllowed(params, forced) ? forced : -1;
}

/** Whether the list of allowed tokens, where there is one, has it. */
function isAllowed({ allowedTokens }: SamplingParams, token: number): boolean {
  return allowedTokens === null || allowedTokens.includes(token);
}

/** Whether any token may be banned after `generated` others: of most requests none is, and nothing needs to be looked at. */
export function hasBans({ minTokens, badWords, noRepeatNgram }: SamplingParams, generated: number): boolean {
  return generated < minTokens || badWords.length > 0 || noRepeatNgram > 0;
}

/**
 * Tokens that may not come after those that were generated: the ones that would end the answer before minTokens, and the last of
 * each bad word whose others were generated last. (Those of noRepeatNgram are NgramBans' to know.)
 * @param made how many there are; more than `generated` where some are not known (needsTokens)
 */
export function* bannedTokens(
  params: SamplingParams,
  generated: readonly number[],
  made = generated.length,
): Iterable<number> {
  if (made < params.minTokens) yield* params.stopTokens;
  for (const word of params.badWords) {
    const start = generated.length - (word.length - 1);
    if (start < 0) continue;
    let i = 0;
    while (i < word.length - 1 && word[i] === generated[start + i]) i++;
    if (i === word.length - 1) yield word[i]!;
  }
}

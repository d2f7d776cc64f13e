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

/** The token that must come after `generated` others, or -1. Where one token is both the first and the last, last wins. */
export function forcedToken(params: SamplingParams, generated: number): number {
  if (params.forcedLast !== null && generated === params.maxTokens - 1) return params.forcedLast;
  if (params.forcedFirst !== null && generated === 0) return params.forcedFirst;
  return -1;
}

const none: readonly number[] = [];

/** Tokens that may not come after `generated` others: those that would end the answer before minTokens. */
export function bannedTokens(params: SamplingParams, generated: number): readonly number[] {
  return generated < params.minTokens ? params.stopTokens : none;
}

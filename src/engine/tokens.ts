/** Token sequences as keys: a hash, and the comparison that makes a collision harmless. */

/** FNV-1a over the ids of `count` tokens from `start` on. */
export function hashTokens(token: (index: number) => number, start: number, count: number): number {
  let hash = 0x811c9dc5;
  for (let i = start; i < start + count; i++) hash = Math.imul(hash ^ token(i), 0x01000193);
  return hash >>> 0;
}

export function equalTokens(tokens: ArrayLike<number>, token: (index: number) => number, start: number): boolean {
  for (let i = 0; i < tokens.length; i++) if (tokens[i] !== token(start + i)) return false;
  return true;
}

/** Token sequences as keys: a hash, and the comparison that makes a collision harmless. */

/** Another in each process: nobody can write prompts whose hashes are all the same. */
const basis = Math.floor(Math.random() * 2 ** 32);

/** FNV-1a, from that basis, over the ids of `count` tokens from `start` on. */
export function hashTokens(token: (index: number) => number, start: number, count: number): number {
  let hash = basis;
  for (let i = start; i < start + count; i++) hash = Math.imul(hash ^ token(i), 0x01000193);
  return hash >>> 0;
}

export function equalTokens(tokens: Int32Array, token: (index: number) => number, start: number): boolean {
  for (let i = 0; i < tokens.length; i++) if (tokens[i] !== token(start + i)) return false;
  return true;
}

/** Prefixes: found page by page by the same tokens, salt and source; the ones not used for longest go first, chain by chain. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryBudget } from '../src/engine/memory-budget.ts';
import { PagePool } from '../src/engine/pages.ts';
import { PrefixCache } from '../src/engine/prefix-cache.ts';
import { Request, type Sequence } from '../src/engine/sequence.ts';
import { SourceCache } from '../src/engine/source-cache.ts';
import { submission } from './fixtures/fake-engine.ts';

const pageTokens = 4;
const turn = { key: 0, id: 0 };

function cache(wholePrompts = false) {
  const budget = new MemoryBudget(1000);
  const pool = new PagePool(100, 10, budget);
  const sources = new SourceCache(pool, budget, 1, pageTokens);
  return { pool, prefixes: new PrefixCache({ pool, budget, sources }, 1, pageTokens, wholePrompts) };
}

type Parts = ReturnType<typeof cache>;

/** A sequence that asks the cache for its prompt. */
function begun({ prefixes }: Parts, tokens: readonly number[], cacheSalt: string | null = null): Sequence {
  const submitted = submission(5, { source: null, prompt: Int32Array.from(tokens), cacheSalt });
  const [sequence] = new Request({ ...submitted, type: 'submit', id: 1 }, turn, 0).sequences;
  prefixes.attach(sequence!, sequence!.length - 1);
  return sequence!;
}

/** It computes all its tokens, and ends. @returns how many it found */
function run(parts: Parts, tokens: readonly number[], cacheSalt: string | null = null): number {
  const sequence = begun(parts, tokens, cacheSalt);
  const found = sequence.computed;
  const { prefixes, pool } = parts;
  const [table = new Int32Array(0)] = sequence.tables;
  for (const page of sequence.copyFrom ?? []) pool.release(page);
  sequence.copyFrom = null;
  const more = pool.allocate(Math.ceil(tokens.length / pageTokens) - table.length, 'self', turn)!;
  sequence.tables[0] = Int32Array.of(...table, ...more);
  sequence.computed = tokens.length;
  prefixes.extend(sequence);
  prefixes.detach(sequence);
  for (const page of sequence.tables[0]) pool.release(page);
  return found;
}

const chain = (from: number, pages: number) => Array.from({ length: pages * pageTokens + 1 }, (_, i) => from + i);

test('a prefix is found as far as whole pages of it are there, but for the last token', () => {
  const parts = cache();
  assert.equal(run(parts, [1, 2, 3, 4, 5, 6, 7, 8]), 0);
  assert.equal(run(parts, [1, 2, 3, 4, 5, 6, 7, 8]), 4, 'the last token is computed');
  assert.equal(run(parts, [1, 2, 3, 4, 5, 6, 7, 8, 9]), 8);
  assert.equal(run(parts, [1, 2, 3, 4, 9, 9, 9, 9, 9]), 4);
  assert.equal(run(parts, [9, 2, 3, 4, 5]), 0);
  assert.equal(run(parts, [1, 2, 3, 4, 5], 'tenant'), 0);
  assert.equal(run(parts, [1, 2, 3, 4, 5], 'tenant'), 4);
  parts.prefixes.checkIdle();
  parts.pool.checkIdle();
});

test('a prompt whose tokens see each other is found whole or not at all', () => {
  const parts = cache(true);
  assert.equal(run(parts, [1, 2, 3, 4, 5, 6]), 0);
  assert.equal(run(parts, [1, 2, 3, 4, 5, 6]), 5);
  assert.equal(run(parts, [1, 2, 3, 4, 5, 6, 7]), 0);
  assert.equal(run(parts, [1, 2, 3, 4, 5]), 0);
  parts.prefixes.checkIdle();
});

test('what was not used for longest goes first: an old chain as a whole before a newer one', () => {
  const parts = cache();
  run(parts, chain(100, 10));
  run(parts, chain(200, 10));
  for (let i = 0; i < 10; i++) parts.prefixes.evict();
  assert.equal(run(parts, chain(200, 10)), 40);
  assert.equal(run(parts, chain(100, 10)), 0);
});

test('a prefix that is used again is not the oldest any more, and what lies below it goes before it', () => {
  const parts = cache();
  run(parts, chain(100, 4));
  run(parts, chain(200, 4));
  assert.equal(run(parts, chain(100, 2)), 8);
  for (let i = 0; i < 6; i++) parts.prefixes.evict();
  assert.equal(begun(parts, chain(100, 4)).computed, 8);
  assert.equal(begun(parts, chain(200, 4)).computed, 0);
});

test('what a sequence was given to copy is never taken for its own', () => {
  const parts = cache(true);
  const { prefixes, pool } = parts;
  run(parts, [1, 2, 3, 4, 5, 6]);
  const sequence = begun(parts, [1, 2, 3, 4, 5, 6]);
  assert.equal(sequence.copyFrom?.length, 1);
  prefixes.evict();
  prefixes.extend(sequence);
  assert.equal(begun(parts, [1, 2, 3, 4, 5, 6]).computed, 0, 'the copy was never made');
  for (const page of [...sequence.tables[0]!, ...sequence.copyFrom!]) pool.release(page);
  pool.checkIdle();
});

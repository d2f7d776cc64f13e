/** A source is shared by all that read the same tokens under the same salt, now or later, and by nobody else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryBudget } from '../src/engine/memory-budget.ts';
import { PagePool } from '../src/engine/pages.ts';
import { SourceCache, sourceKey } from '../src/engine/source-cache.ts';
import { hashTokens } from '../src/engine/tokens.ts';
import { collect, FakeEngine, submission } from './fixtures/fake-engine.ts';

/** Two inputs of the same hash: FNV-1a lets the last token undo what the first changed. */
function collision(): [Int32Array, Int32Array] {
  const after = (token: number) => hashTokens(() => token, 0, 1);
  const a = Int32Array.of(1, 7);
  const b = Int32Array.of(2, after(1) ^ after(2) ^ 7);
  return [a, b];
}

const turn = { key: 0, id: 0 };

function cache() {
  const budget = new MemoryBudget(1000);
  const pool = new PagePool(10, 100, budget);
  return { pool, sources: new SourceCache(pool, budget, 1, 4) };
}

/** A reader comes, the source is encoded, the reader goes. */
function encode({ sources }: ReturnType<typeof cache>, tokens: Int32Array, salt: string | null = null): void {
  const { source } = sources.acquire(sourceKey(tokens, salt));
  assert.ok(sources.allocate(source, turn));
  sources.finish(source);
  sources.release(source);
}

test('a collision of hashes shares nothing', () => {
  const { pool, sources } = cache();
  const [a, b] = collision();
  const hash = (tokens: Int32Array) => hashTokens(i => tokens[i]!, 0, tokens.length);
  assert.equal(hash(a), hash(b));
  const first = sources.acquire(sourceKey(a, null)).source;
  assert.equal(sources.find(sourceKey(b, null)), undefined);
  const second = sources.acquire(sourceKey(b, null));
  assert.equal(second.hit, false);
  assert.notEqual(second.source, first);
  sources.release(first);
  assert.equal(sources.find(sourceKey(b, null)), second.source);
  sources.release(second.source);
  sources.checkIdle();
  pool.checkIdle();
});

test('a source outlives its readers, and the one not used for longest goes first', () => {
  const all = cache();
  const { pool, sources } = all;
  const [a, b] = [Int32Array.of(1, 2, 3, 4, 5), Int32Array.of(6)];
  encode(all, a);
  encode(all, b);
  assert.equal(pool.counts().cachedCross, 3);
  encode(all, a);
  sources.evict();
  assert.equal(sources.find(sourceKey(b, null)), undefined);
  assert.equal(pool.counts().cachedCross, 2);
  const read = sources.acquire(sourceKey(a, null));
  assert.equal(read.hit, true);
  sources.evict();
  assert.equal(sources.find(sourceKey(a, null)), read.source, 'a source with readers stays');
  sources.release(read.source);
  sources.checkIdle();
});

test('sources of another salt, and those that were never encoded, are not seen', () => {
  const all = cache();
  const { pool, sources } = all;
  const tokens = Int32Array.of(1, 2);
  encode(all, tokens, 'tenant');
  assert.equal(sources.find(sourceKey(tokens, null)), undefined);
  assert.equal(sources.find(sourceKey(tokens, 'other')), undefined);
  assert.ok(sources.find(sourceKey(tokens, 'tenant')));
  const { source } = sources.acquire(sourceKey(Int32Array.of(3), null));
  sources.allocate(source, turn);
  sources.release(source);
  assert.equal(sources.find(sourceKey(source.tokens, null)), undefined);
  sources.checkIdle();
  pool.checkIdle();
});

test('n answers and concurrent requests of one source encode it once', async () => {
  const { engine, loop } = await FakeEngine.start();
  const streams = [submission(6, { n: 3 }), submission(6), submission(6, { source: Int32Array.of(9, 9) })];
  const answers = await Promise.all(streams.map(each => collect(engine.submit(each))));
  assert.deepEqual(answers[0]!.tokens[0], answers[1]!.tokens[0]);
  assert.notDeepEqual(answers[0]!.tokens[0], answers[2]!.tokens[0]);
  assert.deepEqual(
    answers.map(({ events }) => events[0]!.cachedTokens),
    [0, 5, 0],
  );
  const [stats] = await engine.stats();
  assert.deepEqual([stats!.sourcesEncoded, stats!.sourceTokens, stats!.sourceQueries, stats!.sourceHits], [2, 7, 3, 1]);
  loop.checkIdle();
  await engine.close();
});

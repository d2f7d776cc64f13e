/** A source is shared by all that read the same tokens, and by nobody else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryBudget } from '../src/engine/memory-budget.ts';
import { PagePool } from '../src/engine/pages.ts';
import { hashTokens, LiveSources } from '../src/engine/sources.ts';
import { collect, FakeEngine, submission } from './fixtures/fake-engine.ts';

/** Two inputs of the same hash: FNV-1a lets the last token undo what the first changed. */
function collision(): [Int32Array, Int32Array] {
  const after = (token: number) => Math.imul(0x811c9dc5 ^ token, 0x01000193);
  const a = Int32Array.of(1, 7);
  const b = Int32Array.of(2, after(1) ^ after(2) ^ 7);
  return [a, b];
}

test('a collision of hashes shares nothing', () => {
  const pool = new PagePool(10, 100, new MemoryBudget(1000));
  const sources = new LiveSources(pool, 1, 4);
  const [a, b] = collision();
  assert.equal(hashTokens(a), hashTokens(b));
  pool.reserve(2, 1);
  const first = sources.acquire(a).source;
  assert.equal(sources.find(b), undefined);
  const second = sources.acquire(b);
  assert.equal(second.hit, false);
  assert.notEqual(second.source, first);
  sources.release(first);
  assert.equal(sources.find(b), second.source);
  sources.release(second.source);
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

/** Pages are free, counted by those that name them, or kept by a cache alone; never more of them are used than there is memory for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryBudget } from '../src/engine/memory-budget.ts';
import { PagePool } from '../src/engine/pages.ts';

const turn = { key: 0, id: 0 };
const empty = (total: number) => ({ total, free: total, self: 0, cross: 0, cachedSelf: 0, cachedCross: 0 });

test('a page is free again after its last reference', () => {
  const budget = new MemoryBudget(1000);
  const pool = new PagePool(4, 100, budget);
  const [page] = pool.allocate(1, 'cross', turn)!;
  pool.share(page!);
  pool.release(page!);
  assert.deepEqual(pool.counts(), { total: 4, free: 3, self: 0, cross: 1, cachedSelf: 0, cachedCross: 0 });
  pool.release(page!);
  assert.deepEqual(pool.counts(), empty(4));
  assert.equal(budget.used, 0);
  pool.checkIdle();
});

test('allocation gives all pages or none', () => {
  const pool = new PagePool(4, 100, new MemoryBudget(1000));
  assert.equal(pool.allocate(5, 'self', turn), null);
  assert.equal(pool.allocate(4, 'self', turn)!.length, 4);
  assert.equal(pool.allocate(1, 'self', turn), null);
});

test('pages in use never exceed the memory that all pools share', () => {
  const budget = new MemoryBudget(500);
  const [a, b] = [new PagePool(5, 100, budget), new PagePool(10, 50, budget)];
  const taken = a.allocate(3, 'self', turn)!;
  assert.equal(b.allocate(5, 'self', turn), null);
  assert.equal(b.allocate(4, 'self', turn)!.length, 4);
  a.release(taken[0]!);
  assert.equal(b.allocate(2, 'cross', turn)!.length, 2);
});

test('the same id is not freed twice, nor shared while free', () => {
  const pool = new PagePool(4, 100, new MemoryBudget(1000));
  const [page] = pool.allocate(1, 'self', turn)!;
  pool.release(page!);
  assert.throws(() => pool.release(page!), /released though it is free/);
  assert.throws(() => pool.share(page!), /shared though it is free/);
  assert.throws(() => pool.release(17), /page 17/);
});

test('what a cache holds outlives its tables, counted by use', () => {
  const pool = new PagePool(4, 100, new MemoryBudget(1000));
  const [page, other] = pool.allocate(2, 'cross', turn)!;
  pool.hold(page!);
  pool.release(page!);
  pool.release(other!);
  assert.deepEqual(pool.counts(), { total: 4, free: 3, self: 0, cross: 1, cachedSelf: 0, cachedCross: 1 });
  pool.checkIdle();
  pool.share(page!);
  assert.equal(pool.cached, 0);
  assert.throws(() => pool.checkIdle(), /1 cross pages are in use/);
  pool.unhold(page!);
  pool.check();
  pool.release(page!);
  assert.deepEqual(pool.counts(), empty(4));
  assert.throws(() => pool.unhold(page!), /let go though it is free/);
});

/** Pages are free or counted, and never more of them are used than were promised to requests. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryBudget } from '../src/engine/memory-budget.ts';
import { PagePool } from '../src/engine/pages.ts';

test('a page is free again after its last reference', () => {
  const budget = new MemoryBudget(1000);
  const pool = new PagePool(4, 100, budget);
  const [page] = pool.allocate(1, 'cross')!;
  pool.share(page!);
  pool.release(page!);
  assert.deepEqual(pool.counts(), { total: 4, free: 3, self: 0, cross: 1 });
  pool.release(page!);
  assert.deepEqual(pool.counts(), { total: 4, free: 4, self: 0, cross: 0 });
  assert.equal(budget.used, 0);
  pool.checkIdle();
});

test('allocation gives all pages or none', () => {
  const pool = new PagePool(4, 100, new MemoryBudget(1000));
  assert.equal(pool.allocate(5, 'self'), null);
  assert.equal(pool.allocate(4, 'self')!.length, 4);
  assert.equal(pool.allocate(1, 'self'), null);
});

test('pages in use never exceed the memory that all pools share', () => {
  const budget = new MemoryBudget(500);
  const [a, b] = [new PagePool(5, 100, budget), new PagePool(10, 50, budget)];
  const taken = a.allocate(3, 'self')!;
  assert.equal(b.allocate(5, 'self'), null);
  assert.equal(b.allocate(4, 'self')!.length, 4);
  a.release(taken[0]!);
  assert.equal(b.allocate(2, 'cross')!.length, 2);
});

test('the same id is not freed twice, nor shared while free', () => {
  const pool = new PagePool(4, 100, new MemoryBudget(1000));
  const [page] = pool.allocate(1, 'self')!;
  pool.release(page!);
  assert.throws(() => pool.release(page!), /released though it is free/);
  assert.throws(() => pool.share(page!), /shared though it is free/);
  assert.throws(() => pool.release(17), /page 17/);
});

test('a pool promises no more pages than it has', () => {
  const pool = new PagePool(4, 100, new MemoryBudget(1000));
  assert.equal(pool.reserve(3, 1), true);
  assert.equal(pool.reserve(2, 2), false);
  assert.throws(() => pool.checkIdle(), /3 reservations/);
  pool.unreserve(3);
  assert.equal(pool.reserve(4, 2), true);
});

test('a large request to one model is not starved by later small ones to another', () => {
  const budget = new MemoryBudget(1000);
  const [a, b] = [new PagePool(10, 100, budget), new PagePool(10, 100, budget)];
  assert.equal(b.reserve(5, 1), true);
  assert.equal(a.reserve(8, 2), false);
  assert.equal(b.reserve(1, 3), false, 'overtakes one that waits for memory');
  b.unreserve(5);
  assert.equal(a.reserve(8, 2), true);
  assert.equal(b.reserve(1, 3), true);
});

test('who waited for memory and went away holds up nobody', () => {
  const budget = new MemoryBudget(1000);
  const [a, b] = [new PagePool(10, 100, budget), new PagePool(10, 100, budget)];
  b.reserve(5, 1);
  assert.equal(a.reserve(8, 2), false);
  a.withdraw();
  assert.equal(b.reserve(1, 3), true);
});

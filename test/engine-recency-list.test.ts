/** The order of last uses, whatever comes and goes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Listed, RecencyList } from '../src/engine/recency-list.ts';

class Item implements Listed<Item> {
  before: Item | null = null;
  after: Item | null = null;
  readonly lastUse: number;

  constructor(lastUse: number) {
    this.lastUse = lastUse;
  }
}

test('the first is always the one not used for longest, and each is there once', () => {
  const operations = fc.array(fc.tuple(fc.nat(20), fc.boolean()), { maxLength: 100 });
  fc.assert(
    fc.property(operations, all => {
      const list = new RecencyList<Item>();
      const there: Item[] = [];
      for (const [value, adds] of all) {
        if (adds) {
          const item = new Item(value);
          list.add(item);
          there.push(item);
        } else if (there.length > 0) {
          const [item] = there.splice(value % there.length, 1);
          assert.ok(list.has(item!) && list.remove(item!) && !list.has(item!) && !list.remove(item!));
        }
        assert.equal(
          list.first?.lastUse,
          there.length === 0 ? undefined : Math.min(...there.map(item => item.lastUse)),
        );
      }
      const order: number[] = [];
      for (let item = list.first; item !== null; item = item.after) order.push(item.lastUse);
      assert.deepEqual(
        order,
        there.map(item => item.lastUse).sort((a, b) => a - b),
      );
    }),
  );
});

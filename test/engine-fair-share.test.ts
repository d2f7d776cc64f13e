/** Turns: first in, first out for one client; by work among several; a class is a head start that ends. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareTurns, FairShare, type Turn } from '../src/engine/fair-share.ts';

/** The order in which requests are served that all wait at once. @param requests by client: work of each */
function served(share: FairShare, requests: readonly (readonly [client: string, work: number, priority?: number])[]) {
  const turns = requests.map(([client, work, priority = 0], id) => ({
    name: `${client}${id}`,
    turn: share.turnOf(id, client, work, priority),
  }));
  return turns.toSorted((a, b) => compareTurns(a.turn, b.turn)).map(({ name }) => name);
}

test('one client is served in the order of arrival, whatever its requests take', () => {
  assert.deepEqual(
    served(new FairShare(), [
      ['a', 900],
      ['a', 1],
      ['a', 50],
    ]),
    ['a0', 'a1', 'a2'],
  );
});

test('clients that wait take turns by work: small requests are not behind a backlog of large ones', () => {
  const order = served(new FairShare(), [
    ['a', 100],
    ['a', 100],
    ['a', 100],
    ['b', 30],
    ['b', 30],
    ['b', 30],
    ['b', 30],
  ]);
  assert.deepEqual(order, ['a0', 'b3', 'b4', 'b5', 'b6', 'a1', 'a2']);
});

test('who comes new stands where the line is, not at its beginning', () => {
  const share = new FairShare();
  const turns: Turn[] = [];
  for (let id = 0; id < 10; id++) turns.push(share.turnOf(id, 'a', 100, 0));
  share.advance(turns[5]!, 0);
  const late = share.turnOf(10, 'b', 100, 0);
  assert.ok(compareTurns(turns[5]!, late) < 0 && compareTurns(late, turns[6]!) < 0);
});

test('a better class overtakes, until what it overtakes has waited for a head start of work', () => {
  const share = new FairShare();
  const low = share.turnOf(0, 'a', 10, 1);
  assert.ok(compareTurns(share.turnOf(1, 'b', 10, 0), low) < 0);
  let turn: Turn = low;
  for (let id = 2; id < 30; id++) {
    turn = share.turnOf(id, 'b', 2 ** 17, 0);
    share.advance(turn, 0);
  }
  assert.ok(compareTurns(low, turn) < 0);
});

test('work that was not done does not count, and lets nobody overtake the same client', () => {
  const share = new FairShare();
  share.turnOf(0, 'a', 1000, 0);
  share.giveBack('a', 990);
  const second = share.turnOf(1, 'a', 1000, 0);
  assert.equal(second.key, 10);
  const third = share.turnOf(2, 'a', 1000, 0);
  share.giveBack('a', 5000);
  assert.ok(compareTurns(third, share.turnOf(3, 'a', 1, 0)) < 0);
});

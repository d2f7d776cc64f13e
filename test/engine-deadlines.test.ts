/** Deadlines: the next one is found in order, and finished requests are let go long before theirs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Deadlines } from '../src/engine/deadlines.ts';
import { Request } from '../src/engine/sequence.ts';
import { submission } from './fixtures/fake-engine.ts';

let made = 0;

function due(deadline: number | null): Request {
  const id = made++;
  return new Request({ ...submission(5), type: 'submit', id, deadline }, { key: 0, id }, 0);
}

function finish(deadlines: Deadlines, request: Request): void {
  for (const sequence of request.sequences) sequence.finish = 'stop';
  deadlines.forget(request);
}

test('the next deadline is the least of the requests that are open, whatever came and went', () => {
  const operations = fc.array(fc.oneof(fc.nat(50), fc.constant('finish' as const)), { maxLength: 200 });
  fc.assert(
    fc.property(operations, fc.infiniteStream(fc.nat()), (all, choices) => {
      const deadlines = new Deadlines();
      const open: Request[] = [];
      for (const operation of all) {
        if (operation !== 'finish') {
          const request = due(operation === 50 ? null : operation);
          deadlines.add(request);
          open.push(request);
        } else if (open.length > 0) {
          finish(deadlines, open.splice(choices.next().value! % open.length, 1)[0]!);
        }
        const left = open.map(({ deadline }) => deadline).filter(deadline => deadline !== null);
        const least = left.length === 0 ? null : Math.min(...left);
        assert.equal(deadlines.next(), least);
        assert.equal(deadlines.firstLate(25)?.deadline ?? null, least !== null && least <= 25 ? least : null);
      }
    }),
  );
});

test('requests that finish before a late deadline leave nothing behind', () => {
  const deadlines = new Deadlines();
  const first = due(1e9);
  deadlines.add(first);
  for (let i = 0; i < 1000; i++) {
    const request = due(1e9 + i);
    deadlines.add(request);
    finish(deadlines, request);
    assert.ok(deadlines.size <= 3, `${deadlines.size} after ${i}`);
  }
  assert.equal(deadlines.next(), first.deadline);
});

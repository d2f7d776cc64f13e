/** Stop strings are found wherever the pieces were cut, and nothing of one is shown before it is known. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { StopMatcher } from '../src/text/stop.ts';

interface Outcome {
  text: string;
  stop: string | null;
}

function run(matcher: StopMatcher, pieces: readonly string[]): Outcome {
  let text = '';
  for (const piece of pieces) {
    const found = matcher.push(piece);
    text += found.text;
    if (found.stop !== null) return { text, stop: found.stop };
  }
  return { text: text + matcher.finish(), stop: null };
}

/** Character by character, over the whole text so far. */
function naive(text: string, stops: readonly string[], includeStop: boolean): Outcome {
  for (let end = 1; end <= text.length; end++) {
    const ended = stops.filter(stop => text.slice(0, end).endsWith(stop)).sort((a, b) => b.length - a.length)[0];
    if (ended !== undefined) return { text: text.slice(0, includeStop ? end : end - ended.length), stop: ended };
  }
  return { text, stop: null };
}

const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 6 });

test('finds what a search of the whole text finds, however it is cut', () => {
  const stops = fc.array(
    letters.filter(stop => stop !== ''),
    { maxLength: 3 },
  );
  fc.assert(
    fc.property(fc.array(letters, { maxLength: 8 }), stops, fc.boolean(), (pieces, given, includeStop) => {
      const found = run(new StopMatcher(given, { includeStop }), pieces);
      assert.deepEqual(found, naive(pieces.join(''), given, includeStop));
    }),
    { numRuns: 2000 },
  );
});

test('shows at once what cannot become a stop string, and no more', () => {
  const matcher = new StopMatcher(['\n\nEND', 'STOP']);
  assert.deepEqual(matcher.push('one\n'), { text: 'one', stop: null });
  assert.deepEqual(matcher.push('two\n\nE'), { text: '\ntwo', stop: null });
  assert.deepEqual(matcher.push('S'), { text: '\n\nE', stop: null });
  assert.deepEqual(matcher.push('TOP and more'), { text: '', stop: 'STOP' });
});

test('without stop strings everything passes', () => {
  const matcher = new StopMatcher([]);
  assert.deepEqual(matcher.push('anything'), { text: 'anything', stop: null });
  assert.equal(matcher.finish(), '');
});

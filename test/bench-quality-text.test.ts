/** BLEU, chrF and edit distances: values that sacreBLEU 2.6.0 gives (fixtures/sacrebleu.json), and what must always hold. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { bleu, wordsOf } from '../bench/quality/bleu.ts';
import { chrf } from '../bench/quality/chrf.ts';
import { editDistance, nearest } from '../bench/quality/edit-distance.ts';
import { packageRoot } from '../src/package-root.ts';

interface Published {
  readonly name: string;
  readonly answers: readonly string[];
  readonly references: readonly (readonly string[])[];
  readonly bleu: number;
  readonly chrf: number;
}

const path = join(packageRoot, 'test', 'fixtures', 'sacrebleu.json');
const published = JSON.parse(readFileSync(path, 'utf8')) as readonly Published[];

describe('BLEU and chrF are those of sacreBLEU', () => {
  for (const { name, answers, references, ...expected } of published)
    it(name, () => {
      const found = { bleu: bleu(answers, references), chrf: chrf(answers, references) };
      for (const metric of ['bleu', 'chrf'] as const)
        assert.ok(Math.abs(found[metric] - expected[metric]) < 1e-9, `${metric} ${found[metric]}, ${expected[metric]}`);
    });

  it('and words are those of mteval-v13a', () => {
    assert.deepEqual(wordsOf('$1,234.5, &lt;b&gt; "x-y" 3-4.\nend'), [
      ...['$', '1,234.5', ',', '<', 'b', '>', '"', 'x-y', '"', '3', '-', '4', '.', 'end'],
    ]);
  });
});

describe('an edit distance', () => {
  const sequence = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 9 });

  it('is the number of edits', () => {
    assert.equal(editDistance([...'kitten'], [...'sitting']), 3);
    assert.equal(editDistance([], [1, 2]), 2);
    assert.equal(editDistance([1, 2, 3], [3, 1, 2]), 2);
  });

  it('is a metric between the difference of lengths and the greater length', () => {
    fc.assert(
      fc.property(sequence, sequence, sequence, (a, b, c) => {
        const ab = editDistance(a, b);
        assert.equal(editDistance(a, a), 0);
        assert.equal(ab, editDistance(b, a));
        assert.equal(ab === 0, String(a) === String(b));
        assert.ok(ab >= Math.abs(a.length - b.length) && ab <= Math.max(a.length, b.length));
        assert.ok(editDistance(a, c) <= ab + editDistance(b, c));
      }),
    );
  });

  it('is taken to the nearest reference', () => {
    assert.deepEqual(nearest([1, 2, 3], [[9], [1, 2, 4, 3, 5, 6], [1, 2]]), { edits: 3, length: 6 });
    assert.deepEqual(nearest([1], [[]]), { edits: 1, length: 0 });
  });
});

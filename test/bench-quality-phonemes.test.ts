/** Word and phoneme error rates: what counts as wrong, with stress and without. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { errorsOf, phonemeErrors, withoutStress } from '../bench/quality/phonemes.ts';
import { Generator } from '../src/generate.ts';
import { ScriptedEngine, servedModel } from './fixtures/scripted-engine.ts';
import { smallTokenizer } from './fixtures/tokenizers.ts';

const items = [
  { prompt: 'tomato', references: ['T AH0 M EY1 T OW2', 'T AH0 M AA1 T OW2'] },
  { prompt: 'cat', references: ['K AE1 T'] },
];

describe('phoneme errors', () => {
  it('any listed pronunciation is right', () => {
    assert.deepEqual(errorsOf(items, ['T AH0 M AA1 T OW2', 'K AE1 T']), { words: 0, phonemes: 0 });
  });

  it('edits are those of the nearest pronunciation, over its phonemes', () => {
    assert.deepEqual(errorsOf(items, ['T AH0 M AA1 T OW0', 'K AE1 T S']), { words: 1, phonemes: 2 / 9 });
    assert.deepEqual(errorsOf(items, ['T AH0 M AA1 T OW2', 'AE1 T']), { words: 1 / 2, phonemes: 1 / 9 });
  });

  it('without stress, what differs in stress alone is right', () => {
    const spoken = ['T AH1 M AA0 T OW0', 'K AA1 T'];
    assert.deepEqual(errorsOf(items, spoken, withoutStress), { words: 1 / 2, phonemes: 1 / 9 });
    assert.deepEqual(errorsOf(items, spoken), { words: 1, phonemes: 4 / 9 });
  });

  it('an empty answer is wrong in every phoneme', () => {
    assert.deepEqual(errorsOf(items, ['', '']), { words: 1, phonemes: 1 });
  });

  it('every model answers at every width and concurrency, with what a word took', async () => {
    const engine = new ScriptedEngine([{ tokens: [7, 2], finish: 'stop', cachedTokens: 0, queueTime: 0 }]);
    const model = servedModel({ tokenizer: smallTokenizer('byteFallback'), encoder: true });
    const generator = new Generator(engine, [model]);
    const plan = { items, widths: [1], maxTokens: 3, concurrencies: [1, 2], repetitions: 3 };
    const { cells, ratios } = await phonemeErrors(generator, [model], plan, () => {});
    await generator.close();
    assert.deepEqual(
      cells.map(({ labels }) => [labels.beams, labels.concurrency]),
      [
        [1, 1],
        [1, 2],
      ],
    );
    for (const { figures } of cells) {
      assert.deepEqual(figures.word_error_rate!.repetitions, [100, 100, 100]);
      assert.equal(figures.seconds_per_word!.repetitions.length, 3);
    }
    assert.deepEqual(ratios, [], 'there is no second model');
  });
});

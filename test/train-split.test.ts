/** What is held out of training: whole families of words, chosen by a hash, the same on every machine. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { readDictionary } from '../bench/train/dictionary.ts';
import { familiesOf, splitDictionary } from '../bench/train/split.ts';

describe('the held-out words', () => {
  const words = readDictionary();
  const split = splitDictionary(words);
  const prompts = (part: keyof typeof split) => split[part].map(({ prompt }) => prompt);

  it('are about a twentieth of the dictionary, and no word is in two parts', () => {
    const all = [...prompts('train'), ...prompts('validation'), ...prompts('test')];
    assert.equal(new Set(all).size, all.length);
    assert.ok(all.every(word => words.has(word)));
    assert.ok(all.length > 0.998 * words.size, 'few are left out');
    const share = split.test.length / words.size;
    assert.ok(share > 0.04 && share < 0.06, String(share));
  });

  it('have every listed pronunciation', () => {
    assert.deepEqual(words.get('tomato'), ['T AH0 M EY1 T OW2', 'T AH0 M AA1 T OW2']);
    for (const { prompt, references } of split.test) assert.deepEqual(references, words.get(prompt));
  });

  it('have no form in training', () => {
    const trained = new Set([...prompts('train'), ...prompts('validation')]);
    const forms = (word: string) => ["'s", 's', 'ed', 'ing', 'er', 'est', 'ly'].map(ending => word + ending);
    // A single letter is no stem: too many words end in -s or -ed.
    for (const word of prompts('test').filter(({ length }) => length > 1)) {
      for (const form of forms(word)) assert.ok(!trained.has(form), `${form} is trained on, ${word} held out`);
      assert.ok(!trained.has(word.replaceAll("'", '')), word);
    }
  });

  it('have no kin in training through a stem that is no word', () => {
    const letter = (i: number) => String.fromCharCode(97 + (i % 26));
    const stems = Array.from({ length: 500 }, (_, i) => `zy${letter(i)}${letter(i / 26)}m`);
    const forms = stems.flatMap(stem => [`${stem}ed`, `${stem}ing`, `${stem}est`]);
    const made = splitDictionary(new Map(forms.map(form => [form, ['Z']])));
    const stemsOf = (part: keyof typeof made) => made[part].map(({ prompt }) => prompt.replace(/(ed|ing|est)$/, ''));
    const seen = new Set([...stemsOf('train'), ...stemsOf('validation')]);
    assert.ok(stemsOf('train').length > 1000);
    assert.deepEqual(
      stemsOf('test').filter(stem => seen.has(stem)),
      [],
    );
  });

  it('are these 6,305: who changes the rule changes what the models may be scored on', () => {
    assert.equal(split.test.length, 6305);
    const digest = createHash('sha256').update(prompts('test').join(' ')).digest('hex');
    assert.equal(digest, '1113bd83ba31c66b5785e060c4942217908f7e7b5cd384cf0be82031bcc25653');
  });
});

describe('families', () => {
  const same = (a: string, b: string, ...others: string[]) => {
    const family = familiesOf([a, b, ...others]);
    return family.get(a) === family.get(b);
  };

  it('join inflections, doubled letters, y and i, and what is spelt alike but for marks', () => {
    for (const [a, b] of [
      ['walk', 'walked'],
      ['stop', 'stopping'],
      ['carry', 'carries'],
      ['bake', 'baking'],
      ['baker', "baker's"],
      ['co-op', 'coop'],
      ['jones', "jones'"],
    ] as const)
      assert.ok(same(a, b), `${a}, ${b}`);
    assert.ok(same('bakers', 'baking', 'bake', 'baker'), 'through others');
  });

  it('leave strangers apart', () => {
    assert.ok(!same('walk', 'talk'));
    assert.ok(!same('walked', 'walking'), 'kinship shows through a word that is there');
    assert.ok(!same('a', 'as'), 'a stem has two letters');
  });
});

/** A text that arrives token by token is the whole text, and never shows a broken character before its time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Detokenizer } from '../src/text/detokenizer.ts';
import { smallTokenizer, type TokenizerKind, tokenizerKinds } from './fixtures/tokenizers.ts';

/** What push gives for each piece, and what finish adds. */
function stream(detokenizer: Detokenizer, pieces: readonly (readonly number[])[]): { pushed: string; all: string } {
  const pushed = pieces.map(ids => detokenizer.push(ids)).join('');
  return { pushed, all: pushed + detokenizer.finish() };
}

const runs = { numRuns: 150 };

for (const kind of Object.keys(tokenizerKinds) as TokenizerKind[]) {
  test(`${kind}: any ids in any pieces`, () => {
    const tokenizer = smallTokenizer(kind);
    // Beyond the vocabulary too: a model's may be padded.
    const pieces = fc.array(fc.array(fc.nat(tokenizer.vocabularySize + 2), { maxLength: 4 }), { maxLength: 12 });
    fc.assert(
      fc.property(pieces, fc.boolean(), (ids, skipSpecialTokens) => {
        const { all } = stream(new Detokenizer(tokenizer, { skipSpecialTokens }), ids);
        assert.equal(all, tokenizer.decode(ids.flat(), { skipSpecialTokens }));
      }),
      runs,
    );
  });

  test(`${kind}: text in many scripts`, () => {
    const tokenizer = smallTokenizer(kind);
    const words = fc.constantFrom(
      'he',
      ' ',
      '🙂',
      '漢字',
      'é',
      'éÉ',
      '👩‍👩‍👧',
      ' a',
      '\n',
      'll',
      '.',
      '\ufeff',
      '한국',
    );
    fc.assert(
      fc.property(fc.array(words, { maxLength: 20 }), chosen => {
        const ids = tokenizer.encode(chosen.join(''), { addSpecialTokens: false });
        const { pushed, all } = stream(
          new Detokenizer(tokenizer),
          ids.map(id => [id]),
        );
        assert.equal(all, tokenizer.decode(ids));
        assert.ok(!pushed.includes('\ufffd'), pushed);
      }),
      runs,
    );
  });
}

test('a character appears with its last byte', () => {
  const tokenizer = smallTokenizer('byteFallback');
  const detokenizer = new Detokenizer(tokenizer);
  const pieces = ['<0xF0>', '<0x9F>', '<0x99>', '<0x82>', 'a'].map(token =>
    detokenizer.push([tokenizer.tokenId(token)!]),
  );
  assert.deepEqual(pieces, ['', '', '', '🙂', 'a']);
  assert.equal(detokenizer.finish(), '');
});

test('an unfinished character is held back until the end', () => {
  const tokenizer = smallTokenizer('byteLevel');
  const detokenizer = new Detokenizer(tokenizer);
  assert.equal(detokenizer.push([tokenizer.tokenId('Ã©Ã')!]), 'é');
  assert.equal(detokenizer.finish(), '\ufffd');
});

test('an answer that continues a text keeps the space of its first word, and completes a begun character', () => {
  const tokenizer = smallTokenizer('byteFallback');
  const [he, word] = [tokenizer.tokenId('he')!, tokenizer.tokenId('▁a')!];
  assert.equal(new Detokenizer(tokenizer, { after: [1, he] }).push([word]), ' a');
  assert.equal(new Detokenizer(tokenizer, { after: [1] }).push([word]), 'a');
  const [first, second] = ['<0xC3>', '<0xA9>'].map(token => tokenizer.tokenId(token)!) as [number, number];
  assert.equal(new Detokenizer(tokenizer, { after: [he, first] }).push([second]), 'é');
});

test('work a token does not grow with the text', () => {
  const tokenizer = smallTokenizer('byteFallback');
  const detokenizer = new Detokenizer(tokenizer);
  const ids = tokenizer.encode('hello a ', { addSpecialTokens: false });
  const time = (repeats: number): number => {
    const start = performance.now();
    for (let i = 0; i < repeats; i++) detokenizer.push(ids);
    return performance.now() - start;
  };
  time(2000);
  const early = Math.min(time(1000), time(1000), time(1000));
  time(40_000);
  const late = Math.min(time(1000), time(1000), time(1000));
  assert.ok(late < 10 * early, `${late} ms late, ${early} ms early`);
});

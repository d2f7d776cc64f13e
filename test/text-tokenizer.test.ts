/** What a tokenizer says of single tokens, and what is wrong with a broken file. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Tokenizer } from '../src/text/tokenizer.ts';
import { redllmError } from './fixtures/errors.ts';
import { smallTokenizer, type TokenizerKind, temporaryFolder, tokenizerKinds } from './fixtures/tokenizers.ts';

test('special tokens are added by the post-processor, unless not wanted', () => {
  const llama = smallTokenizer('byteFallback');
  assert.equal(llama.encode('he')[0], 1);
  assert.deepEqual(llama.encode('he', { addSpecialTokens: false }), llama.encode('he').slice(1));
  assert.equal(smallTokenizer('metaspace').encode('he').at(-1), 2);
});

test('special tokens are left out of the text, unless wanted', () => {
  const tokenizer = smallTokenizer('byteFallback');
  const ids = [...tokenizer.encode('he'), 2];
  assert.equal(tokenizer.decode(ids), 'he');
  assert.equal(tokenizer.decode(ids, { skipSpecialTokens: false }), '<s> he</s>');
  assert.deepEqual([...tokenizer.specialIds], [0, 1, 2]);
});

test('ids without a token give no text', () => {
  const tokenizer = smallTokenizer('byteLevel');
  assert.equal(tokenizer.decode([tokenizer.vocabularySize, 99999, tokenizer.tokenId('he')!]), 'he');
  assert.equal(tokenizer.decode([]), '');
  assert.deepEqual(tokenizer.tokenBytes(99999), new Uint8Array());
  assert.equal(tokenizer.tokenText(99999), '');
});

test("a token's own text and bytes, in every alphabet", () => {
  const cases = [
    ['byteFallback', '<0x0A>', [10]],
    ['byteFallback', '<0xE6>', [0xe6]],
    ['byteFallback', '▁a', [32, 97]],
    ['byteFallback', '</s>', [...Buffer.from('</s>')]],
    ['byteLevel', 'Ġa', [32, 97]],
    ['byteLevel', 'Ã©Ã', [0xc3, 0xa9, 0xc3]],
    ['byteLevel', '<unk>', [...Buffer.from('<unk>')]],
    ['metaspace', '▁the', [...Buffer.from(' the')]],
    ['metaspace', '漢', [...Buffer.from('漢')]],
    ['wordPiece', '##a', [97]],
    ['wordPiece', 'hello', [...Buffer.from(' hello')]],
    ['wordSuffix', 'a</w>', [97, 32]],
  ] as const;
  for (const [kind, token, bytes] of cases) {
    const tokenizer = smallTokenizer(kind);
    const id = tokenizer.tokenId(token)!;
    assert.deepEqual([...tokenizer.tokenBytes(id)], bytes, `${kind} ${token}`);
    assert.equal(tokenizer.tokenText(id), Buffer.from(bytes).toString());
  }
});

test('Unigram spells what it lacks in bytes, and takes a long text without a space', () => {
  const tokenizer = smallTokenizer('unigramBytes');
  assert.equal(tokenizer.decode(tokenizer.encode('a 🙂 ü漢')), 'a 🙂 ü漢');
  assert.ok(!tokenizer.encode('🙂').includes(0));
  assert.equal(tokenizer.encode('x'.repeat(300_000)).length, 300_001);
});

test('tokenizer_config.json does not tidy spaces away', () => {
  const folder = temporaryFolder();
  const path = join(folder, 'tokenizer.json');
  writeFileSync(path, JSON.stringify(tokenizerKinds.byteLevel));
  writeFileSync(join(folder, 'tokenizer_config.json'), JSON.stringify({ clean_up_tokenization_spaces: true }));
  const tokenizer = new Tokenizer(path);
  assert.equal(tokenizer.decode(tokenizer.encode("a . b 's")), "a . b 's");
});

test('a broken file is named, with what is wrong', () => {
  const folder = temporaryFolder();
  const path = join(folder, 'tokenizer.json');
  const { byteFallback } = tokenizerKinds;
  const broken: [content: string, words: RegExp][] = [
    ['', /tokenizer\.json is not valid JSON/],
    ['{"model": ', /tokenizer\.json is not valid JSON/],
    ['[]', /tokenizer\.json must hold a JSON object/],
    ['{}', /tokenizer\.json is no tokenizer that can be used/],
    [JSON.stringify({ ...byteFallback, model: { type: 'Abacus' } }), /tokenizer\.json .*Abacus/],
    [JSON.stringify({ ...byteFallback, decoder: { type: 'CTC' } }), /tokenizer\.json .*decoder "CTC" is not known/],
    [
      JSON.stringify({
        ...byteFallback,
        decoder: { type: 'Sequence', decoders: [{ type: 'Fuse' }, { type: 'ByteLevel' }] },
      }),
      /tokenizer\.json .*"ByteLevel" stands after one that fuses/,
    ],
  ];
  for (const [content, words] of broken) {
    writeFileSync(path, content);
    assert.throws(() => new Tokenizer(path), redllmError('invalid_checkpoint', words));
  }
  assert.throws(
    () => new Tokenizer(join(folder, 'none.json')),
    redllmError('invalid_checkpoint', /none\.json cannot be read/),
  );
});

test('a bound on tokens refuses no text that has fewer', () => {
  const alphabet = [
    'a',
    'he',
    'Z',
    '9',
    '.',
    ' ',
    '  ',
    '\n',
    '\t',
    '\u0001',
    'é',
    'e\u0301',
    '漢',
    '🙂',
    '한',
    '\u0378',
    '</s>',
    '\u200b',
  ];
  let state = 1;
  const random = (below: number) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
  for (const kind of Object.keys(tokenizerKinds) as TokenizerKind[]) {
    const tokenizer = smallTokenizer(kind);
    for (let round = 0; round < 400; round++) {
      const some = Array.from({ length: 1 + random(4) }, () => alphabet[random(alphabet.length)]!);
      const text = Array.from({ length: random(200) }, () => some[random(some.length)]).join('');
      const { length } = tokenizer.encode(text, { addSpecialTokens: false });
      assert.equal(tokenizer.exceeds(text, length), false, `${kind}: ${JSON.stringify(text)}`);
      for (const keep of ['head', 'tail'] as const) {
        const part = tokenizer.cut(text, 5, keep);
        assert.ok(keep === 'head' ? text.startsWith(part) : text.endsWith(part));
        if (part !== text) assert.ok(tokenizer.encode(part, { addSpecialTokens: false }).length > 5);
      }
    }
  }
});

test('a text far beyond a number of tokens is known to be so', () => {
  for (const kind of ['byteFallback', 'byteLevel', 'metaspace', 'unigramBytes', 'wordSuffix', 'plain'] as const)
    assert.ok(smallTokenizer(kind).exceeds('the9'.repeat(1000), 300), kind);
  for (const kind of ['byteFallback', 'byteLevel', 'unigramBytes'] as const)
    assert.ok(smallTokenizer(kind).exceeds('漢한é '.repeat(1000), 300), kind);
  assert.equal(smallTokenizer('metaspace').exceeds(' '.repeat(1e6), 10), false);
  assert.equal(smallTokenizer('wordPiece').exceeds('x'.repeat(1e6), 10), false);
});

test('tokenising can be given up between two words', () => {
  const tokenizer = smallTokenizer('byteLevel');
  let words = 0;
  assert.throws(
    () => tokenizer.encode('he '.repeat(100), { stopped: () => ++words > 10 }),
    redllmError('cancelled', /./),
  );
  assert.equal(words, 11);
  assert.equal(tokenizer.encode('he he').length, 3);
});

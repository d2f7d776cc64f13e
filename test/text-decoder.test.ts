/** Decoders against what the reference implementation (Rust `tokenizers` 0.23) makes of the same tokens; but a broken character is one U+FFFD here. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TokenDecoder } from '../src/text/decoder.ts';

const llama = {
  type: 'Sequence',
  decoders: [
    { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
    { type: 'ByteFallback' },
    { type: 'Fuse' },
    { type: 'Strip', content: ' ', start: 1, stop: 0 },
  ],
};

const cases: [name: string, config: unknown, tokens: string[], text: string][] = [
  ['sentencepiece', llama, ['▁Once', '▁', '▁upon', '<0x0A>'], 'Once  upon\n'],
  ['bytes of one character', llama, ['▁', '<0xF0>', '<0x9F>', '<0x99>', '<0x82>', 'x'], '🙂x'],
  ['an unfinished character', llama, ['a', '<0xF0>', '<0x9F>', 'x'], 'a�x'],
  ['a byte order mark', llama, ['<0xEF>', '<0xBB>', '<0xBF>', 'x'], '\ufeffx'],
  ['byte-level', { type: 'ByteLevel' }, ['Hello', 'ĠwÃ¶', 'rld', 'Ċ'], 'Hello wörld\n'],
  ['byte-level, a token that the table lacks', { type: 'ByteLevel' }, ['a', '<a b>', 'Ġc'], 'a<a b> c'],
  ['metaspace', { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always' }, ['▁▁a', '▁b'], 'a b'],
  ['metaspace, never', { type: 'Metaspace', replacement: '▁', prepend_scheme: 'never' }, ['▁a', '▁b'], ' a b'],
  ['word pieces', { type: 'WordPiece', prefix: '##', cleanup: true }, ['hel', '##lo', 'you', '!'], 'hello you!'],
  ['word pieces as they are', { type: 'WordPiece', prefix: '##', cleanup: false }, ['hi', '!'], 'hi !'],
  ['word suffixes', { type: 'BPEDecoder', suffix: '</w>' }, ['hel', 'lo</w>', 'you</w>'], 'hello you'],
  ['a pattern', { type: 'Replace', pattern: { Regex: '_+' }, content: '$&' }, ['a__b', '_'], 'a$&b$&'],
  ['spaces at both ends of each token', { type: 'Strip', content: ' ', start: 1, stop: 1 }, ['  a  ', ' b '], ' a b'],
  ['none', null, ['a', 'b'], 'a b'],
];

for (const [name, config, tokens, text] of cases) {
  test(name, () => {
    const decoder = new TokenDecoder(config);
    assert.equal(decoder.start()(tokens, true), text);
    const push = decoder.start();
    assert.equal(tokens.map(token => push([token], false)).join('') + push([], true), text);
  });
}

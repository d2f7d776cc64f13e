/** Real tokenizers give the ids and the texts that transformers gave. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Detokenizer } from '../src/text/detokenizer.ts';
import { Tokenizer } from '../src/text/tokenizer.ts';
import { sharedPath, skipWithout } from './shared.ts';

function golden<T>(...parts: string[]): T {
  return JSON.parse(readFileSync(sharedPath(...parts)!, 'utf8')) as T;
}

function streamed(tokenizer: Tokenizer, ids: readonly number[]): string {
  const detokenizer = new Detokenizer(tokenizer);
  return ids.map(id => detokenizer.push([id])).join('') + detokenizer.finish();
}

test("T5's ids and texts", { skip: skipWithout('models', 'tokenizers', 't5') }, () => {
  const tokenizer = new Tokenizer(sharedPath('models', 'tokenizers', 't5', 'tokenizer.json')!);
  assert.equal(tokenizer.vocabularySize, 32100);
  const cases = golden<{ text: string; ids: number[]; decoded: string }[]>('models', 'tokenizers', 't5', 'golden.json');
  assert.ok(cases.length > 0);
  for (const { text, ids, decoded } of cases) {
    assert.deepEqual(tokenizer.encode(text), ids, text);
    assert.equal(tokenizer.decode(ids), decoded);
    assert.equal(streamed(tokenizer, ids), decoded);
  }
});

test('the story of stories260k', { skip: skipWithout('models', 'stories260k') }, () => {
  const tokenizer = new Tokenizer(sharedPath('models', 'stories260k', 'tokenizer.json')!);
  const { greedy, text } = golden<{ greedy: number[]; text: string }>('models', 'stories260k', 'golden.json');
  assert.equal(tokenizer.decode(greedy), text);
  assert.equal(streamed(tokenizer, greedy), text);
  assert.deepEqual(tokenizer.encode(text), greedy);
});

test('the words of g2p-bart-us, in two vocabularies', { skip: skipWithout('models', 'g2p-bart-us') }, () => {
  const source = new Tokenizer(sharedPath('models', 'g2p-bart-us', 'tokenizer.json')!);
  const target = new Tokenizer(sharedPath('models', 'g2p-bart-us', 'target_tokenizer.json')!);
  type Word = { word: string; input_ids: number[]; greedy: number[]; greedy_text: string };
  const words = golden<Word[]>('models', 'g2p-bart-us', 'golden.json');
  assert.equal(words.length, 200);
  for (const { word, input_ids, greedy, greedy_text } of words) {
    assert.deepEqual(source.encode(word), input_ids);
    assert.equal(target.decode(greedy), greedy_text);
  }
});

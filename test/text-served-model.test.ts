/** What a checkpoint directory brings for text. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openText } from '../src/served-model.ts';
import { redllmError } from './fixtures/errors.ts';
import { temporaryFolder, tokenizerKinds } from './fixtures/tokenizers.ts';

function folderWith(files: Record<string, unknown>): string {
  const folder = temporaryFolder();
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), JSON.stringify(content));
  return folder;
}

test('one vocabulary for both sides, unless there is a target_tokenizer.json', () => {
  const one = openText(folderWith({ 'tokenizer.json': tokenizerKinds.metaspace }));
  assert.ok(one.tokenizer);
  assert.equal(one.targetTokenizer, one.tokenizer);
  const two = openText(
    folderWith({ 'tokenizer.json': tokenizerKinds.metaspace, 'target_tokenizer.json': tokenizerKinds.plain }),
  );
  assert.notEqual(two.targetTokenizer?.vocabularySize, two.tokenizer?.vocabularySize);
});

test('a checkpoint without text has none', () => {
  assert.deepEqual(openText(folderWith({ 'config.json': { bos_token_id: 1 } })), {
    tokenizer: null,
    targetTokenizer: null,
    template: null,
  });
});

test('a given template sees the special tokens that config.json names by id', () => {
  const folder = folderWith({
    'tokenizer.json': tokenizerKinds.byteFallback,
    'config.json': { bos_token_id: 1, eos_token_id: 2 },
  });
  const chatTemplate = join(folder, 'mine.jinja');
  writeFileSync(chatTemplate, '{{ bos_token }}{{ messages[0].content }}{{ eos_token }}');
  const { template } = openText(folder, { chatTemplate });
  assert.equal(template?.render([{ role: 'user', content: 'hi' }]), '<s>hi</s>');
});

test('a broken file is named', () => {
  const broken = folderWith({ 'tokenizer.json': tokenizerKinds.metaspace, 'target_tokenizer.json': {} });
  assert.throws(() => openText(broken), redllmError('invalid_checkpoint', /target_tokenizer\.json/));
});

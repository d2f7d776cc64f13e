/** The directory itself: what is missing from it, and what a good one gives. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { describeCheckpoint } from '../src/models/registry.ts';
import { weightRefs } from '../src/models/spec-weights.ts';
import { randomTensors, temporaryDirectory, tinyConfigs, writeCheckpoint, writeJson } from './fixtures/checkpoint.ts';
import { redllmError } from './fixtures/errors.ts';

test('every family’s checkpoint is read back, in every type', async t => {
  for (const config of Object.values(tinyConfigs)) {
    for (const type of ['F32', 'BF16', 'F16'] as const) {
      const directory = writeCheckpoint(t, { config, type });
      const { spec, weights, directory: from } = await describeCheckpoint(directory);
      assert.equal(from, directory);
      assert.ok(weights.kind === 'files');
      const stored = randomTensors(config, 1, type);
      assert.deepEqual(Object.keys(weights.tensors), [...weightRefs(spec).keys()]);
      for (const [name, source] of Object.entries(weights.tensors)) {
        const { bytes } = stored.get(name)!;
        assert.equal(source.type, type);
        const found = readFileSync(source.file).subarray(source.offset, source.offset + bytes.length);
        assert.ok(found.equals(bytes), name);
      }
    }
  }
});

test('a spec and a weight source survive JSON', async t => {
  const { spec, weights } = await describeCheckpoint(writeCheckpoint(t, { config: tinyConfigs.bart }));
  assert.deepEqual(JSON.parse(JSON.stringify({ spec, weights })), { spec, weights });
});

test('random weights need no file but the config', async t => {
  const directory = temporaryDirectory(t);
  writeJson(directory, 'config.json', tinyConfigs.redllm);
  const { weights } = await describeCheckpoint(directory, { random: 11 });
  assert.deepEqual(weights, { kind: 'random', seed: 11 });
});

test('tokenizer files are found by name', async t => {
  const directory = writeCheckpoint(t, { config: tinyConfigs.redllm });
  writeJson(directory, 'tokenizer.json', {});
  writeJson(directory, 'tokenizer_config.json', {});
  assert.deepEqual((await describeCheckpoint(directory)).text, {
    tokenizer: join(directory, 'tokenizer.json'),
    tokenizerConfig: join(directory, 'tokenizer_config.json'),
  });
});

test('a directory that is none, is empty or lacks weights is refused in a sentence', async t => {
  const directory = temporaryDirectory(t);
  const refused = (path: string, words: RegExp, param?: string) =>
    assert.rejects(describeCheckpoint(path), redllmError('invalid_checkpoint', words, param));

  await refused(join(directory, 'nowhere'), /^There is no checkpoint directory ".*/);
  await refused(directory, /has no config\.json\.$/, 'config.json');
  writeFileSync(join(directory, 'config.json'), '{');
  await refused(directory, /^config\.json is not valid JSON/, 'config.json');
  await refused(join(directory, 'config.json'), /is a file, not a directory/);
  writeJson(directory, 'config.json', tinyConfigs.redllm);
  await refused(directory, /has neither model\.safetensors nor model\.safetensors\.index\.json\.$/);
  writeFileSync(join(directory, 'pytorch_model.bin'), 'x');
  await refused(directory, /It has "pytorch_model\.bin", which cannot be used\.$/);
});

test('a pipe in place of the weights does not hang the reader', { skip: process.platform === 'win32' }, async t => {
  const directory = temporaryDirectory(t);
  writeJson(directory, 'config.json', tinyConfigs.redllm);
  execFileSync('mkfifo', [join(directory, 'model.safetensors')]);
  await assert.rejects(
    describeCheckpoint(directory),
    redllmError('invalid_checkpoint', /^model\.safetensors is not a regular file\.$/, 'model.safetensors'),
  );
});

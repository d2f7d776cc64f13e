import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { describeCheckpoint } from '../src/models/registry.ts';
import {
  randomTensors,
  safetensors,
  shardName,
  type Tensors,
  temporaryDirectory,
  tinyConfigs,
  writeCheckpoint,
  writeJson,
} from './fixtures/checkpoint.ts';
import { redllmError } from './fixtures/errors.ts';

const config = tinyConfigs.decllm;
const indexName = 'model.safetensors.index.json';

/** A checkpoint whose only shard holds every tensor, with an index that a test makes up. */
function withIndex(t: TestContext, index: (names: string[]) => unknown): string {
  const directory = temporaryDirectory(t);
  const tensors: Tensors = randomTensors(config);
  writeJson(directory, 'config.json', config);
  writeFileSync(join(directory, 'all.safetensors'), safetensors(tensors));
  writeJson(directory, indexName, index([...tensors.keys()]));
  return directory;
}

const mapTo = (names: string[], shard: unknown) => Object.fromEntries(names.map(name => [name, shard]));

test('tensors are found in the shards that the index names', async t => {
  const { weights } = await describeCheckpoint(writeCheckpoint(t, { config, shards: 3 }));
  assert.ok(weights.kind === 'files');
  const files = Object.values(weights.tensors).map(({ file }) => basename(file));
  assert.deepEqual(
    [...new Set(files)].sort(),
    [0, 1, 2].map(i => shardName(i, 3)),
  );
});

test('a copy is compared across shards', async t => {
  const shared = { config, shards: 2 };
  const copy = (name: string) => (tensors: Tensors) => tensors.set('lm_head.weight', tensors.get(name)!);
  await describeCheckpoint(writeCheckpoint(t, { ...shared, edit: copy('embed_tokens.weight') }));
  const other = (tensors: Tensors) => {
    const { type, shape, bytes } = tensors.get('embed_tokens.weight')!;
    tensors.set('lm_head.weight', { type, shape, bytes: bytes.slice().reverse() });
  };
  await assert.rejects(
    describeCheckpoint(writeCheckpoint(t, { ...shared, edit: other })),
    redllmError('invalid_checkpoint', /must be a copy/, 'lm_head.weight'),
  );
});

test('a shard that is missing', async t => {
  const directory = writeCheckpoint(t, { config, shards: 2 });
  rmSync(join(directory, shardName(1, 2)));
  await assert.rejects(
    describeCheckpoint(directory),
    redllmError('invalid_checkpoint', /names the shard "model-00002-of-00002\.safetensors", which is missing/),
  );
});

test('a tensor of the index that its shard lacks, and one of the shard that the index lacks', async t => {
  const more = withIndex(t, names => ({ weight_map: mapTo([...names, 'ghost'], 'all.safetensors') }));
  await assert.rejects(
    describeCheckpoint(more),
    redllmError('invalid_checkpoint', /places tensor "ghost" in all\.safetensors, which lacks it/, 'ghost'),
  );
  const fewer = withIndex(t, names => ({ weight_map: mapTo(names.slice(1), 'all.safetensors') }));
  await assert.rejects(
    describeCheckpoint(fewer),
    redllmError(
      'invalid_checkpoint',
      /all\.safetensors holds tensor "embed_tokens\.weight", which/,
      'embed_tokens.weight',
    ),
  );
});

test('a shard anywhere but beside the index', async t => {
  for (const shard of [
    '../all.safetensors',
    '/etc/all.safetensors',
    'x/all.safetensors',
    '..\\all.safetensors',
    '..',
    '',
    'config.json',
    'a\0.safetensors',
    7,
    null,
  ]) {
    const directory = withIndex(t, names => ({ weight_map: mapTo(names, shard) }));
    await assert.rejects(
      describeCheckpoint(directory),
      redllmError('invalid_checkpoint', /must name a \.safetensors file beside it, not/, 'embed_tokens.weight'),
    );
  }
});

test('an index that is none', async t => {
  for (const [index, words] of [
    [[], /index\.json must hold a JSON object/],
    [{}, /weight_map must be an object, not null/],
    [{ weight_map: ['a'] }, /weight_map must be an object, not a list/],
    [{ weight_map: {} }, /weight_map names no tensor/],
  ] as const) {
    await assert.rejects(describeCheckpoint(withIndex(t, () => index)), redllmError('invalid_checkpoint', words));
  }
});

/** Tensors against the spec. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { describeCheckpoint } from '../src/models/registry.ts';
import { rawSafetensors, type Tensors, tinyConfigs, writeCheckpoint } from './fixtures/checkpoint.ts';
import { redllmError } from './fixtures/errors.ts';

const query = 'encoder.layers.0.self_attn.q_proj.weight';

async function refused(t: TestContext, edit: (tensors: Tensors) => void, words: RegExp, param: string): Promise<void> {
  const directory = writeCheckpoint(t, { config: tinyConfigs.redllm, edit });
  await assert.rejects(describeCheckpoint(directory), redllmError('invalid_checkpoint', words, param));
}

test('a missing tensor', async t => {
  await refused(t, tensors => tensors.delete(query), /lacks 1 of its tensors: "encoder\.layers\.0\.self_attn/, query);
  await refused(t, tensors => tensors.clear(), /lacks 49 of its tensors: .* and 46 more\.$/, 'embed_tokens.weight');
});

test('a tensor that the config has no use for', async t => {
  const name = 'encoder.layers.9.self_attn.q_proj.weight';
  await refused(t, tensors => tensors.set(name, tensors.get(query)!), /no use for: "encoder\.layers\.9/, name);
});

test('a tensor of another shape', async t => {
  const shape = [8, 32];
  await refused(
    t,
    tensors => tensors.set(query, { ...tensors.get(query)!, shape }),
    /has shape \[8, 32\]; by config\.json it must have \[16, 16\]/,
    query,
  );
});

test('a tensor of a type that is not served', async t => {
  const values = { type: 'I32', shape: [16, 16], bytes: new Uint8Array(1024) };
  await refused(t, tensors => tensors.set(query, values), /is I32; it must be F32, BF16, F16/, query);
});

test('a copy of the embedding that is one, and one that is not', async t => {
  const copy = (change: (bytes: Uint8Array) => void) => (tensors: Tensors) => {
    const embedding = tensors.get('embed_tokens.weight')!;
    const bytes = embedding.bytes.slice();
    change(bytes);
    tensors.set('lm_head.weight', { ...embedding, bytes });
  };
  await describeCheckpoint(writeCheckpoint(t, { config: tinyConfigs.redllm, edit: copy(() => {}) }));
  const words = /"lm_head\.weight" must be a copy of "embed_tokens\.weight", but differs/;
  await refused(
    t,
    copy(bytes => bytes.fill(1, -1)),
    words,
    'lm_head.weight',
  );
});

test('copies are compared to their last byte over several reads', async t => {
  const config = { ...tinyConfigs.redllm, vocab_size: 40_000 };
  for (const flipped of [false, true]) {
    const directory = writeCheckpoint(t, {
      config,
      edit: tensors => {
        const embedding = tensors.get('embed_tokens.weight')!;
        assert.ok(embedding.bytes.length > 2 << 20);
        const bytes = embedding.bytes.slice();
        bytes[bytes.length - 1]! ^= Number(flipped);
        tensors.set('lm_head.weight', { ...embedding, bytes });
      },
    });
    if (flipped) await assert.rejects(describeCheckpoint(directory), redllmError('invalid_checkpoint', /copy of/));
    else await describeCheckpoint(directory);
  }
});

test('odd offsets are fine', async t => {
  const directory = writeCheckpoint(t, { config: tinyConfigs.decllm });
  const path = join(directory, 'model.safetensors');
  const whole = readFileSync(path);
  const headerLength = Number(whole.readBigUInt64LE(0));
  const header = whole.subarray(8, 8 + headerLength).toString();
  const before = await describeCheckpoint(directory);
  // One space more before the data, and every tensor lies at an odd address.
  const padded = header + ' '.repeat(headerLength % 2 === 0 ? 1 : 2);
  writeFileSync(path, rawSafetensors(padded, whole.subarray(8 + headerLength)));
  const after = await describeCheckpoint(directory);
  assert.ok(before.weights.kind === 'files' && after.weights.kind === 'files');
  const shift = padded.length - headerLength;
  for (const [name, { offset }] of Object.entries(before.weights.tensors)) {
    assert.equal(after.weights.tensors[name]?.offset, offset + shift);
  }
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeRandom } from '../src/models/registry.ts';
import type { AttentionSpec, LayerSpec, ModelSpec } from '../src/models/spec.ts';
import { unservedParts } from '../src/models/unserved.ts';
import { tinyConfigs } from './fixtures/checkpoint.ts';
import { redllmError } from './fixtures/errors.ts';

const base = describeRandom(tinyConfigs.redllm, 1).spec;

function withLayers(change: (layer: LayerSpec, index: number) => LayerSpec): ModelSpec {
  return { ...base, decoder: { ...base.decoder, layers: base.decoder.layers.map(change) } };
}

const withSelf = (layer: LayerSpec, change: Partial<AttentionSpec>): LayerSpec => ({
  ...layer,
  self: { ...layer.self, block: { ...layer.self.block, ...change } },
});

test('all that the five families describe is served', () => {
  for (const config of Object.values(tinyConfigs)) assert.deepEqual(unservedParts(describeRandom(config, 1).spec), []);
});

test('windows, caps, learned norms and scaled rotation are served', () => {
  const { rope } = base.decoder.layers[0]!.self.block;
  const spec = withLayers(layer =>
    withSelf(layer, { softcap: 50, window: { back: 3, ahead: 0 }, rope: { ...rope!, factor: 8 } }),
  );
  assert.deepEqual(unservedParts(spec), []);
});

test('a cap on the logits is not', () => {
  assert.deepEqual(unservedParts({ ...base, head: { ...base.head, softcap: 30 } }), ['a soft-cap on the logits']);
});

test('merged attention is not', () => {
  assert.deepEqual(unservedParts(withLayers(layer => withSelf(layer, { merged: true }))), [
    'merged self- and cross-attention',
  ]);
});

test('keys and values of more than one shape are not', () => {
  assert.deepEqual(unservedParts(withLayers((layer, i) => (i === 1 ? withSelf(layer, { kvHeads: 1 }) : layer))), [
    'decoder layers whose keys and values differ in shape',
  ]);
  assert.deepEqual(unservedParts(withLayers(layer => withSelf(layer, { headDim: 4 }))), [
    'cross-attention whose keys and values differ in shape from those of self-attention',
  ]);
});

test('encoder layers of more than one shape are not', () => {
  const [first, ...rest] = base.encoder!.layers;
  const layers = [withSelf(first!, { kvHeads: 1 }), ...rest];
  assert.deepEqual(unservedParts({ ...base, encoder: { ...base.encoder!, layers } }), [
    'encoder layers whose keys and values differ in shape',
  ]);
});

test('sinusoidal positions are not, in either stack', () => {
  const positions = { kind: 'sinusoidal', layout: 'halves', offset: 0, max: 64 } as const;
  assert.deepEqual(unservedParts({ ...base, encoder: { ...base.encoder!, positions } }), ['sinusoidal positions']);
  assert.deepEqual(unservedParts({ ...base, decoder: { ...base.decoder, positions } }), ['sinusoidal positions']);
});

test('an unknown family and quantized weights are refused in a sentence', () => {
  assert.throws(
    () => describeRandom({ model_type: 'gpt2' }, 1),
    redllmError(
      'unsupported_model',
      /^config\.json: model_type "gpt2" is not served; served are bart, decllm, llama, mt5, redllm, t5\.$/,
      'model_type',
    ),
  );
  assert.throws(() => describeRandom({}, 1), redllmError('invalid_checkpoint', /model_type is missing/, 'model_type'));
  assert.throws(
    () => describeRandom({ ...tinyConfigs.llama, quantization_config: { bits: 4 } }, 1),
    redllmError('unsupported_model', /quantized checkpoints/, 'quantization_config'),
  );
});

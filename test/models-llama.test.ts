import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeCheckpoint, describeRandom } from '../src/models/registry.ts';
import { tinyConfigs, writeCheckpoint } from './fixtures/checkpoint.ts';
import { redllmError } from './fixtures/errors.ts';

const describe = (change = {}) => describeRandom({ ...tinyConfigs.llama, ...change }, 1);
const attention = (change = {}) => describe(change).spec.decoder.layers[0]!.self.block;

test('grouped queries, heads of hidden_size / heads, a head of its own', () => {
  const { spec, defaults } = describe();
  const block = attention();
  assert.deepEqual([block.heads, block.kvHeads, block.headDim, block.scale], [4, 2, 4, 0.5]);
  assert.deepEqual(block.key, { weight: { name: 'model.layers.0.self_attn.k_proj.weight', shape: [8, 16] } });
  assert.deepEqual(spec.head, { weight: { name: 'lm_head.weight', shape: [48, 16] }, scale: 1 });
  assert.equal(spec.decoder.finalNorm?.gain?.name, 'model.norm.weight');
  assert.equal(spec.maxTarget, 64);
  assert.equal(spec.maxSource, undefined);
  assert.equal(spec.encoder, undefined);
  assert.deepEqual(defaults, { endTokens: [2], padToken: 0 });
  assert.equal(describe({ tie_word_embeddings: true }).spec.head.weight.name, 'model.embed_tokens.weight');
});

test('head_dim and num_key_value_heads may be absent, given or wrong', () => {
  assert.equal(attention({ num_key_value_heads: null }).kvHeads, 4);
  assert.deepEqual(attention({ head_dim: 16 }).query.weight.shape, [64, 16]);
  for (const [change, param] of [
    [{ num_key_value_heads: 3 }, 'num_key_value_heads'],
    [{ num_attention_heads: 3, num_key_value_heads: 3 }, 'num_attention_heads'],
    [{ head_dim: 5 }, 'head_dim'],
  ] as const) {
    assert.throws(() => describe(change), redllmError('invalid_checkpoint', /must be/, param));
  }
});

test('biases where the config says so', () => {
  assert.equal(attention().query.bias, undefined);
  assert.equal(attention({ attention_bias: true }).output.bias?.name, 'model.layers.0.self_attn.o_proj.bias');
  const { block } = describe({ mlp_bias: true }).spec.decoder.layers[0]!.feedForward;
  assert.deepEqual(block.gate?.bias, { name: 'model.layers.0.mlp.gate_proj.bias', shape: [32] });
});

test('both spellings of the rotation', () => {
  const rope = (change: object) => {
    const { theta, factor, dimensions } = attention(change).rope!;
    return [theta, factor, dimensions];
  };
  assert.deepEqual(rope({}), [10_000, 1, 4]);
  assert.deepEqual(rope({ rope_theta: 500_000, rope_scaling: null }), [500_000, 1, 4]);
  assert.deepEqual(rope({ rope_parameters: { rope_theta: 77, rope_type: 'default' } }), [77, 1, 4]);
  assert.deepEqual(rope({ rope_theta: 55, rope_scaling: { type: 'linear', factor: 4 } }), [55, 4, 4]);
  assert.deepEqual(rope({ rope_parameters: { rope_theta: 77, rope_type: 'linear', factor: 2 } }), [77, 2, 4]);
  assert.throws(
    () => rope({ rope_scaling: { rope_type: 'llama3', factor: 8 } }),
    redllmError(
      'unsupported_model',
      /rope_type "llama3" is not served; served are default, linear/,
      'rope_scaling.rope_type',
    ),
  );
  assert.throws(
    () => rope({ rope_parameters: { rope_type: 'linear' } }),
    redllmError('invalid_checkpoint', /rope_parameters\.factor is missing/, 'rope_parameters.factor'),
  );
  assert.throws(
    () => rope({ partial_rotary_factor: 0.5 }),
    redllmError('unsupported_model', /partial_rotary_factor/, 'partial_rotary_factor'),
  );
});

test('rotary tables of old files are surplus; padding outside the vocabulary is none', async t => {
  const directory = writeCheckpoint(t, {
    config: { ...tinyConfigs.llama, pad_token_id: -1, eos_token_id: [2, 3] },
    edit: tensors => {
      tensors.set('model.layers.1.self_attn.rotary_emb.inv_freq', {
        type: 'F32',
        shape: [2],
        bytes: new Uint8Array(8),
      });
    },
  });
  assert.deepEqual((await describeCheckpoint(directory)).defaults, { endTokens: [2, 3] });
});

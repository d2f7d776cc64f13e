import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeCheckpoint, describeRandom } from '../src/models/registry.ts';
import { type Tensors, tinyConfigs, writeCheckpoint } from './fixtures/checkpoint.ts';
import { redllmError } from './fixtures/errors.ts';

const v10 = (change = {}) => describeRandom({ ...tinyConfigs.t5v10, ...change }, 1);

function rename(tensors: Tensors, from: string, to: string): void {
  tensors.set(to, tensors.get(from)!);
  tensors.delete(from);
}

test('v1.0: relu without gate, head tied and scaled, dot products unscaled', () => {
  const { spec, defaults } = v10();
  const block = spec.encoder!.layers[0]!.feedForward.block;
  assert.equal(block.activation, 'relu');
  assert.equal(block.gate, undefined);
  assert.equal(block.up.weight.name, 'encoder.block.0.layer.1.DenseReluDense.wi.weight');
  assert.deepEqual(spec.head, { weight: { name: 'shared.weight', shape: [48, 16] }, scale: 16 ** -0.5 });
  assert.equal(spec.decoder.layers[0]!.self.block.scale, 1);
  assert.equal(spec.decoder.embeddingScale, 1);
  assert.equal(spec.decoderPositions, 'zero');
  assert.equal('maxSource' in spec || 'maxTarget' in spec, false);
  assert.deepEqual(defaults, { startToken: 0, endTokens: [1], padToken: 0 });
});

test('every self-attention adds the table of its stack’s block 0; cross-attention adds none', () => {
  const { spec } = v10();
  for (const [stack, name, bidirectional] of [
    [spec.encoder!, 'encoder', true],
    [spec.decoder, 'decoder', false],
  ] as const) {
    for (const layer of stack.layers) {
      assert.deepEqual(layer.self.block.relativeBias, {
        table: { name: `${name}.block.0.layer.0.SelfAttention.relative_attention_bias.weight`, shape: [32, 2] },
        buckets: 32,
        maxDistance: 128,
        bidirectional,
      });
      assert.equal(layer.cross?.block.relativeBias, undefined);
    }
  }
});

test('v1.1 and Flan: gated tanh gelu, a head of their own, unscaled', () => {
  const { spec } = describeRandom(tinyConfigs.t5v11, 1);
  const block = spec.decoder.layers[1]!.feedForward.block;
  assert.equal(block.activation, 'gelu_tanh');
  assert.equal(block.gate?.weight.name, 'decoder.block.1.layer.2.DenseReluDense.wi_0.weight');
  assert.equal(block.up.weight.name, 'decoder.block.1.layer.2.DenseReluDense.wi_1.weight');
  assert.deepEqual(spec.head, { weight: { name: 'lm_head.weight', shape: [48, 16] }, scale: 1 });
});

test('a Flan file saved again says tied, unscaled, and carries its own head', async t => {
  const directory = writeCheckpoint(t, {
    config: { ...tinyConfigs.t5v11, tie_word_embeddings: true, scale_decoder_outputs: false },
    edit: tensors => tensors.set('lm_head.weight', tensors.get('shared.weight')!),
  });
  const { spec } = await describeCheckpoint(directory);
  assert.equal(spec.head.weight.name, 'lm_head.weight');
  assert.equal(spec.head.scale, 1);
});

test('UL2 has no key about its head: tied and scaled, gated silu, inner width of its own', () => {
  const { spec } = v10({ feed_forward_proj: 'gated-silu', d_kv: 16, num_heads: 3 });
  assert.equal(spec.decoder.layers[0]!.feedForward.block.activation, 'silu');
  assert.equal(spec.head.weight.name, 'shared.weight');
  assert.equal(spec.head.scale, 0.25);
  assert.deepEqual(spec.decoder.layers[0]!.self.block.query.weight.shape, [48, 16]);
  assert.deepEqual(spec.decoder.layers[0]!.self.block.output.weight.shape, [16, 48]);
});

test('MADLAD stores the embedding under the decoder’s name and starts with another token than padding', async t => {
  const directory = writeCheckpoint(t, {
    config: { ...tinyConfigs.t5v11, pad_token_id: 1, eos_token_id: 2 },
    edit: tensors => {
      rename(tensors, 'shared.weight', 'decoder.embed_tokens.weight');
      tensors.set('encoder.embed_tokens.weight', tensors.get('decoder.embed_tokens.weight')!);
    },
  });
  const { spec, defaults } = await describeCheckpoint(directory);
  assert.equal(spec.encoder?.embedding.name, 'decoder.embed_tokens.weight');
  assert.equal(spec.decoder.embedding.name, 'decoder.embed_tokens.weight');
  assert.deepEqual(defaults, { startToken: 0, endTokens: [2], padToken: 1 });
});

test('the stray cross-attention bias and copies of the embedding of early files are accepted', async t => {
  const directory = writeCheckpoint(t, {
    config: tinyConfigs.t5v10,
    edit: tensors => {
      const table = 'layer.0.SelfAttention.relative_attention_bias.weight';
      tensors.set(
        'decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight',
        tensors.get(`decoder.block.0.${table}`)!,
      );
      tensors.set('encoder.embed_tokens.weight', tensors.get('shared.weight')!);
      tensors.set('decoder.embed_tokens.weight', tensors.get('shared.weight')!);
    },
  });
  assert.equal((await describeCheckpoint(directory)).weights.kind, 'files');
});

test('activations by name', () => {
  const activation = (change: object) => v10(change).spec.decoder.layers[0]!.feedForward.block.activation;
  assert.equal(activation({ feed_forward_proj: 'gelu' }), 'gelu');
  assert.equal(activation({ feed_forward_proj: 'gated-gelu', dense_act_fn: 'gelu_new' }), 'gelu_tanh');
  assert.equal(activation({ feed_forward_proj: 'gated-relu' }), 'relu');
  assert.throws(
    () => v10({ feed_forward_proj: 'gated-mish' }),
    redllmError(
      'unsupported_model',
      /feed_forward_proj "mish" is not served; served are relu, gelu/,
      'feed_forward_proj',
    ),
  );
});

test('stacks of different depth, buckets from the config, mt5 by name', () => {
  const { spec } = v10({
    model_type: 'mt5',
    num_decoder_layers: 1,
    relative_attention_num_buckets: 16,
    relative_attention_max_distance: 20,
  });
  assert.equal(spec.family, 'mt5');
  assert.equal(spec.encoder?.layers.length, 2);
  assert.equal(spec.decoder.layers.length, 1);
  assert.equal(spec.decoder.layers[0]!.self.block.relativeBias?.buckets, 16);
  assert.throws(
    () => v10({ relative_attention_max_distance: 16 }),
    redllmError('invalid_checkpoint', /must be an integer from 17/, 'relative_attention_max_distance'),
  );
  assert.throws(
    () => v10({ relative_attention_num_buckets: 30 }),
    redllmError('invalid_checkpoint', /must be a multiple of 4, not 30/, 'relative_attention_num_buckets'),
  );
});

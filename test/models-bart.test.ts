import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeCheckpoint, describeRandom } from '../src/models/registry.ts';
import { tinyConfigs, writeCheckpoint } from './fixtures/checkpoint.ts';
import { redllmError } from './fixtures/errors.ts';

const describe = (change = {}) => describeRandom({ ...tinyConfigs.bart, ...change }, 1);

test('post-norm layers with biases, learned positions after two unused rows, a bias of the logits', () => {
  const { spec } = describe();
  const layer = spec.decoder.layers[1]!;
  for (const [residual, name] of [
    [layer.self, 'self_attn_layer_norm'],
    [layer.cross!, 'encoder_attn_layer_norm'],
    [layer.feedForward, 'final_layer_norm'],
  ] as const) {
    assert.deepEqual(Object.keys(residual).sort(), ['after', 'block']);
    assert.deepEqual(residual.after, {
      kind: 'layer',
      eps: 1e-5,
      gain: { name: `model.decoder.layers.1.${name}.weight`, shape: [16] },
      gainOffset: 0,
      bias: { name: `model.decoder.layers.1.${name}.bias`, shape: [16] },
    });
  }
  assert.deepEqual(layer.cross!.block.output, {
    weight: { name: 'model.decoder.layers.1.encoder_attn.out_proj.weight', shape: [16, 16] },
    bias: { name: 'model.decoder.layers.1.encoder_attn.out_proj.bias', shape: [16] },
  });
  assert.deepEqual(spec.encoder?.positions, {
    kind: 'learned',
    table: { name: 'model.encoder.embed_positions.weight', shape: [34, 16], skip: 2 },
  });
  assert.equal(spec.decoder.embeddingNorm?.gain?.name, 'model.decoder.layernorm_embedding.weight');
  assert.equal(spec.decoder.finalNorm, undefined);
  assert.deepEqual(spec.head, {
    weight: { name: 'model.shared.weight', shape: [48, 16] },
    bias: { name: 'final_logits_bias', shape: [1, 48] },
    scale: 1,
  });
  assert.equal(spec.maxSource, 32);
  assert.equal(spec.maxTarget, 32);
  assert.equal(layer.feedForward.block.activation, 'gelu');
  assert.equal(layer.feedForward.block.gate, undefined);
});

test('activations, embedding scale and a head of its own by config', () => {
  const activation = (name: string) =>
    describe({ activation_function: name }).spec.encoder!.layers[0]!.feedForward.block.activation;
  assert.deepEqual(['relu', 'silu', 'swish', 'gelu_new', 'gelu'].map(activation), [
    'relu',
    'silu',
    'silu',
    'gelu_tanh',
    'gelu',
  ]);
  assert.equal(describe().spec.encoder?.embeddingScale, 1);
  assert.equal(describe({ scale_embedding: true }).spec.encoder?.embeddingScale, 4);
  assert.equal(describe({ tie_word_embeddings: false }).spec.head.weight.name, 'lm_head.weight');
  assert.throws(
    () => activation('quick_gelu'),
    redllmError('unsupported_model', /"quick_gelu" is not served/, 'activation_function'),
  );
});

test('special tokens: those of the config, else those that BART assumes, null being none', () => {
  assert.deepEqual(describe().defaults, { startToken: 2, endTokens: [2], padToken: 1, forcedLast: 2 });
  assert.deepEqual(
    describe({ decoder_start_token_id: 5, eos_token_id: 6, forced_bos_token_id: 7, forced_eos_token_id: null })
      .defaults,
    { startToken: 5, endTokens: [6], padToken: 1, forcedFirst: 7 },
  );
  assert.throws(
    () => describe({ decoder_start_token_id: null }),
    redllmError('invalid_checkpoint', /decoder_start_token_id is missing/, 'decoder_start_token_id'),
  );
  assert.throws(
    () => describe({ forced_eos_token_id: [2, 3] }),
    redllmError('invalid_checkpoint', /must be one token id/, 'forced_eos_token_id'),
  );
});

test('copies of the embedding are accepted, the bias of the logits may be absent', async t => {
  const directory = writeCheckpoint(t, {
    config: tinyConfigs.bart,
    edit: tensors => {
      tensors.delete('final_logits_bias');
      for (const name of ['lm_head', 'model.encoder.embed_tokens', 'model.decoder.embed_tokens']) {
        tensors.set(`${name}.weight`, tensors.get('model.shared.weight')!);
      }
    },
  });
  const { spec } = await describeCheckpoint(directory);
  assert.equal('bias' in spec.head, false);
});

test('a bare model was saved without the prefix of its names', async t => {
  const directory = writeCheckpoint(t, {
    config: tinyConfigs.bart,
    edit: tensors => {
      for (const [name, tensor] of [...tensors]) {
        tensors.delete(name);
        if (name !== 'final_logits_bias') tensors.set(name.replace(/^model\./, ''), tensor);
      }
      tensors.set('encoder.embed_tokens.weight', tensors.get('shared.weight')!);
    },
  });
  const { spec } = await describeCheckpoint(directory);
  assert.equal(spec.head.weight.name, 'shared.weight');
  assert.equal(spec.encoder!.layers[0]!.self.block.query.bias?.name, 'encoder.layers.0.self_attn.q_proj.bias');
});

test('what BART’s code does not run is refused', () => {
  assert.throws(
    () => describe({ normalize_before: true }),
    redllmError('unsupported_model', /normalize_before = true is not served/, 'normalize_before'),
  );
  assert.throws(
    () => describe({ encoder_attention_heads: 3 }),
    redllmError('invalid_checkpoint', /must be a divisor of d_model = 16, not 3/, 'encoder_attention_heads'),
  );
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeRandom } from '../src/models/registry.ts';
import { weightRefs } from '../src/models/spec-weights.ts';
import { tinyConfigs } from './fixtures/checkpoint.ts';
import { redllmError } from './fixtures/errors.ts';

const describe = (change = {}) => describeRandom({ ...tinyConfigs.redllm, ...change }, 1);
const describeDec = (change = {}) => describeRandom({ ...tinyConfigs.decllm, ...change }, 1);

test('RedLLM: rotary attention with parameter-free norms everywhere, decoder positions after the source', () => {
  const { spec, defaults } = describe();
  assert.equal(spec.decoderPositions, 'after-source');
  assert.equal(spec.mask, 'causal');
  assert.equal(spec.encoder?.layers.length, 2);
  assert.equal(spec.decoder.layers.length, 2);
  const layer = spec.decoder.layers[1]!;
  const norm = { kind: 'rms', eps: 1e-6, gainOffset: 0 };
  for (const { block } of [layer.self, layer.cross!, spec.encoder.layers[0]!.self]) {
    assert.deepEqual([block.queryNorm, block.keyNorm, block.valueNorm, block.outputNorm], [norm, norm, norm, norm]);
    assert.deepEqual(block.rope, { theta: 10_000, dimensions: 8, factor: 1, rotatesQuery: true, rotatesKey: true });
    assert.equal(block.scale, 8 ** -0.5);
    assert.equal(block.kvHeads, 2);
  }
  assert.deepEqual(layer.cross!.block.query.weight, {
    name: 'decoder.layers.1.cross_attn.q_proj.weight',
    shape: [16, 16],
  });
  assert.equal(layer.cross!.pre?.gain?.name, 'decoder.layers.1.cross_attention_layernorm.weight');
  assert.equal(layer.feedForward.pre?.gain?.name, 'decoder.layers.1.post_attention_layernorm.weight');
  assert.equal(layer.feedForward.block.activation, 'silu');
  assert.equal(spec.encoder.layers[0]!.cross, undefined);
  assert.deepEqual(spec.head, { weight: { name: 'embed_tokens.weight', shape: [48, 16] }, scale: 16 ** -0.5 });
  assert.deepEqual(spec.head.weight, spec.encoder.embedding);
  assert.equal('maxSource' in spec || 'maxTarget' in spec, false);
  assert.deepEqual(defaults, { startToken: 1, endTokens: [2], padToken: 0 });
});

test('RedLLM: every field that the paper leaves open', () => {
  const { spec, defaults } = describe({
    rope_theta: 500,
    rms_norm_eps: 1e-4,
    embedding_multiplier: 4,
    logits_multiplier: 0.5,
    attention_output_norm: false,
    bos_token_id: 7,
    eos_token_id: [8, 9],
  });
  const { block } = spec.decoder.layers[0]!.cross!;
  assert.equal(block.rope?.theta, 500);
  assert.equal(block.keyNorm?.eps, 1e-4);
  assert.equal(spec.decoder.finalNorm?.eps, 1e-4);
  assert.equal('outputNorm' in block, false);
  assert.equal(spec.encoder?.embeddingScale, 4);
  assert.equal(spec.head.scale, 0.5);
  assert.deepEqual(defaults, { startToken: 7, endTokens: [8, 9], padToken: 0 });
  assert.equal(describe({ logits_multiplier: null }).spec.head.scale, 16 ** -0.5);
});

test('DecLLM: no output norm, no encoder; its prompt begins with <s>', () => {
  const { spec, defaults } = describeDec();
  assert.equal(spec.encoder, undefined);
  assert.equal(spec.decoderPositions, 'zero');
  assert.equal(spec.mask, 'causal');
  const { block } = spec.decoder.layers[0]!.self;
  assert.equal('outputNorm' in block, false);
  assert.equal(block.valueNorm?.kind, 'rms');
  assert.equal(spec.decoder.layers[0]!.cross, undefined);
  assert.deepEqual(defaults, { promptStart: 1, endTokens: [2], padToken: 0 });
  assert.ok(weightRefs(spec).has('norm.weight'));
  assert.ok(weightRefs(spec).has('layers.1.mlp.gate_proj.weight'));
});

test('DecLLM+BiAttn: the prefix mask', () => {
  assert.equal(describeRandom(tinyConfigs.decllmBiattn, 1).spec.mask, 'prefix');
  assert.throws(
    () => describeDec({ prefix_attention: 'both' }),
    redllmError('invalid_checkpoint', /must be one of "causal", "bidirectional"/, 'prefix_attention'),
  );
});

test('fields that cannot be are refused by name', () => {
  for (const [change, param] of [
    [{ num_encoder_layers: 0 }, 'num_encoder_layers'],
    [{ num_decoder_layers: 1e9 }, 'num_decoder_layers'],
    [{ head_dim: 7 }, 'head_dim'],
    [{ head_dim: null }, 'head_dim'],
    [{ hidden_size: -1 }, 'hidden_size'],
    [{ vocab_size: 1.5 }, 'vocab_size'],
    [{ rms_norm_eps: 0 }, 'rms_norm_eps'],
    [{ bos_token_id: 48 }, 'bos_token_id'],
    [{ eos_token_id: -1 }, 'eos_token_id'],
    [{ attention_output_norm: 1 }, 'attention_output_norm'],
  ] as const) {
    assert.throws(() => describe(change), redllmError('invalid_checkpoint', new RegExp(param), param));
  }
});

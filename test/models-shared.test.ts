/** The families against the checkpoints beside the repository, which transformers and the reference wrote. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { describeCheckpoint } from '../src/models/registry.ts';
import { parameterCount } from '../src/models/spec-weights.ts';
import { redllmError } from './fixtures/errors.ts';
import { sharedPath, skipWithout } from './shared.ts';

const skip = skipWithout('models');
const path = (...parts: string[]) => sharedPath('models', ...parts)!;

/** [directory, encoder layers, decoder layers, maxTarget, own head] */
const served = [
  [['tiny', 'redllm-tiny'], 2, 2, undefined, false],
  [['tiny', 'decllm-tiny'], 0, 3, undefined, false],
  [['tiny', 'decllm-biattn-tiny'], 0, 3, undefined, false],
  [['tiny', 't5-tiny'], 2, 2, undefined, true],
  [['tiny', 't5v10-tiny'], 2, 2, undefined, false],
  [['tiny', 'bart-tiny'], 2, 2, 1024, false],
  [['tiny', 'llama-tiny'], 0, 2, 4096, true],
  [['g2p-bart-us'], 1, 1, 64, false],
  [['stories260k'], 0, 5, 512, false],
] as const;

for (const [parts, encoderLayers, decoderLayers, maxTarget, ownHead] of served) {
  test(`${parts.at(-1)} is described whole`, { skip }, async () => {
    const { spec, defaults, weights } = await describeCheckpoint(path(...parts));
    assert.equal(spec.encoder?.layers.length ?? 0, encoderLayers);
    assert.equal(spec.decoder.layers.length, decoderLayers);
    assert.equal(spec.maxTarget, maxTarget);
    assert.equal(spec.head.weight.name !== spec.decoder.embedding.name, ownHead);
    assert.equal(spec.encoder !== undefined, defaults.startToken !== undefined);
    assert.equal(defaults.endTokens.length, 1);
    assert.equal(weights.kind, 'files');

    // transformers counts parameters; the bias of BART's logits is a buffer there.
    const golden = JSON.parse(readFileSync(path(...parts, 'golden.json'), 'utf8')) as { params?: number };
    const buffers = spec.head.bias ? spec.vocabulary.target : 0;
    if (golden.params !== undefined) assert.equal(parameterCount(spec), golden.params + buffers);
  });
}

test('a golden start token is the default one', { skip }, async () => {
  for (const name of ['t5-tiny', 't5v10-tiny', 'bart-tiny']) {
    const golden = JSON.parse(readFileSync(path('tiny', name, 'golden.json'), 'utf8')) as Record<string, number>;
    const { defaults } = await describeCheckpoint(path('tiny', name));
    assert.equal(defaults.startToken, golden.decoder_start_token_id);
    assert.equal(defaults.padToken, golden.pad_token_id);
  }
});

test('g2p-bart-us: forced end token, two tokenizers, greedy by default', { skip }, async () => {
  const { defaults, text } = await describeCheckpoint(path('g2p-bart-us'));
  assert.deepEqual(defaults, { startToken: 1, endTokens: [2], padToken: 0, forcedLast: 2, temperature: 0 });
  assert.deepEqual(text, {
    tokenizer: path('g2p-bart-us', 'tokenizer.json'),
    targetTokenizer: path('g2p-bart-us', 'target_tokenizer.json'),
  });
});

test('families that are not served are refused by name', { skip }, async () => {
  for (const type of ['gemma2', 'gemma3', 'marian', 't5gemma', 't5gemma2']) {
    await assert.rejects(
      describeCheckpoint(path('tiny', `${type}-tiny`)),
      redllmError('unsupported_model', new RegExp(`model_type "${type}.*served are bart, decllm`), 'model_type'),
    );
  }
});

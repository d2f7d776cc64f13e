import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeRandom } from '../src/models/registry.ts';
import { paperConfig, paperConfigs } from '../src/models/sizes.ts';
import { parameterCount } from '../src/models/spec-weights.ts';
import { redllmError } from './fixtures/errors.ts';

/** Table 1 of the paper: parameters as it prints them, in millions. */
const table = {
  '150m': { decllm: '167.8', redllm: '146.8' },
  '1b': { decllm: '1141', redllm: '1124' },
  '2b': { decllm: '2181', redllm: '2207' },
  '4b': { decllm: '3725', redllm: '3498' },
  '8b': { decllm: '8724', redllm: '8590' },
};

test('the five sizes have the paper’s numbers of parameters', () => {
  assert.equal(paperConfigs.size, 15);
  for (const [size, counts] of Object.entries(table)) {
    for (const [family, millions] of Object.entries({ ...counts, 'decllm-biattn': counts.decllm })) {
      const { spec, weights } = describeRandom(paperConfig(`${family}-${size}`), 3);
      // The paper's numbers leave the gains of the norms out: at most 0.02 % of a model.
      const digits = millions.includes('.') ? 1 : 0;
      const gains = gainCount(spec.decoder.width, spec.encoder?.layers.length ?? 0, spec.decoder.layers.length);
      assert.equal(((parameterCount(spec) - gains) / 1e6).toFixed(digits), millions, `${family}-${size}`);
      assert.deepEqual(weights, { kind: 'random', seed: 3 });
    }
  }
});

function gainCount(width: number, encoderLayers: number, decoderLayers: number): number {
  return encoderLayers > 0 ? width * (2 * encoderLayers + 3 * decoderLayers + 2) : width * (2 * decoderLayers + 1);
}

test('an unknown size is refused with the names there are', () => {
  assert.throws(
    () => paperConfig('redllm-70b'),
    redllmError('invalid_config', /no random model "redllm-70b"; there are redllm-150m, decllm-150m/),
  );
});

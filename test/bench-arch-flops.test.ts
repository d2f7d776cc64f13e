/** Both counts of a pass: the paper's by its own numbers, the executed one by the engine's counters. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decoderFlop, encoderFlop, paperFlop } from '../bench/arch/flops.ts';
import { architectures, equalParameters } from '../bench/arch/models.ts';
import { decodeWeights, keptValues } from '../bench/arch/traffic.ts';
import { startModels } from '../src/cli/models.ts';
import { configSchema } from '../src/config.ts';
import type { JsonObject } from '../src/models/config.ts';
import { describeRandom } from '../src/models/registry.ts';
import { paperConfig } from '../src/models/sizes.ts';
import type { ModelSpec } from '../src/models/spec.ts';
import { submission } from './fixtures/fake-engine.ts';
import { testDevice } from './shared.ts';

const specOf = (name: string) => describeRandom(paperConfig(name), 1).spec;

/** Of a whole sequence whose every position is sampled, as pretraining and scoring do. */
function executedFlop(spec: ModelSpec, source: number, target: number): number {
  const count = spec.encoder ? target : source + target;
  return (
    encoderFlop(spec, spec.encoder ? source : 0) +
    decoderFlop(spec, { first: 0, count, source: spec.encoder ? source : 0, prefix: 0, sampled: count })
  );
}

function near(found: number, expected: number, share: number): void {
  assert.ok(Math.abs(found / expected - 1) <= share, `${found} is not within ${100 * share} % of ${expected}`);
}

describe('the paper’s formula', () => {
  it('has the numbers of figure 8 at 8B', () => {
    near(paperFlop(specOf('decllm-8b'), { source: 0, target: 2048 }), 3.85e13, 0.005);
    near(paperFlop(specOf('redllm-8b'), { source: 1024, target: 1024 }), 1.89e13, 0.005);
  });

  it('has more than is executed: embeddings as products, and keys that nobody sees', () => {
    const shareOf = (name: string) =>
      executedFlop(specOf(name), 1024, 1024) / paperFlop(specOf(name), { source: 0, target: 2048 });
    near(shareOf('decllm-150m'), 0.79, 0.01);
    near(shareOf('decllm-8b'), 0.96, 0.01);
  });
});

it('weights of a decode step, and keys and values of a token, are those of the table', () => {
  const table: [size: string, dec: number, red: number, decKept: number, redKept: number][] = [
    ['150m', 0.168, 0.09, 32, 12],
    ['1b', 1.141, 0.596, 128, 56],
    ['2b', 2.181, 1.146, 200, 90],
    ['4b', 3.725, 1.799, 288, 120],
    ['8b', 8.724, 4.362, 512, 224],
  ];
  for (const [size, dec, red, decKept, redKept] of table) {
    near(decodeWeights(specOf(`decllm-${size}`)) / 1e9, dec, 0.005);
    near(decodeWeights(specOf(`redllm-${size}`)) / 1e9, red, 0.005);
    assert.deepEqual(keptValues(specOf(`decllm-${size}`)), { self: 512 * decKept, cross: 0 });
    assert.deepEqual(keptValues(specOf(`redllm-${size}`)), { self: 512 * redKept, cross: 512 * redKept });
  }
});

/** One layer of the 150M shape, with a small vocabulary: what a pass does to it is what it does to all eight. */
const wide = (config: JsonObject): JsonObject => ({ ...config, vocab_size: 512 });
const shapes: [name: string, config: JsonObject][] = [
  ...equalParameters('tiny', architectures).candidates.map(({ name, config }): [string, JsonObject] => [name, config]),
  ['decllm-150m, a layer', { ...wide(paperConfig('decllm-150m')), num_hidden_layers: 1 }],
  ['redllm-150m, a layer', { ...wide(paperConfig('redllm-150m')), num_encoder_layers: 1, num_decoder_layers: 1 }],
];

for (const [name, config] of shapes)
  it(`what is executed is what the engine counts: ${name}`, async () => {
    const description = describeRandom(config, 1);
    const { spec } = description;
    const limits = { compute: 'bfloat16' as const, maxSource: 128, maxTarget: 128 };
    // Steps of 32 tokens cut what may be cut.
    const settings = configSchema.parse({
      ...forDevice(),
      maxBatchTokens: 32,
      maxRows: 4,
      kvMemory: '64MiB',
      threads: 1,
    });
    const { engine, close } = await startModels(settings, [{ name: 'm', description, ...limits }], () => {});
    try {
      const given = Int32Array.from({ length: 40 }, (_, i) => 3 + i);
      const source = Int32Array.from({ length: 50 }, (_, i) => 300 - i);
      const encodes = spec.encoder !== undefined;
      const prompt = encodes ? given : Int32Array.of(...source, ...given);
      const answer = 10;
      for await (const _ of engine.submit(submission(answer, { source: encodes ? source : null, prompt })));
      const { products, attention } = (await engine.stats())[0]!.multiplyAdds;
      const expected =
        encoderFlop(spec, encodes ? source.length : 0) +
        decoderFlop(spec, {
          first: 0,
          count: prompt.length + answer - 1,
          source: encodes ? source.length : 0,
          prefix: spec.mask === 'prefix' ? prompt.length : 0,
          sampled: answer,
        });
      near(2 * (products + attention), expected, 0.01);
      assert.ok(attention > 0);
    } finally {
      await close();
    }
  });

function forDevice() {
  const { device, cudaLibrary } = testDevice;
  return { device, ...(cudaLibrary === null ? {} : { cudaLibrary }) };
}

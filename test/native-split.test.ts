/**
 * The native half of the promises on numbers: how a request was cut into steps does not show in a single bit of its logits; nor, on a
 * device, whether its steps were launched one by one or replayed as recorded.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ComputeType } from '../src/models/spec.ts';
import { DirectModel, type DirectResult, type StepOptions } from './fixtures/direct.ts';
import { type Place, places, sharedPath } from './shared.ts';

const prompt = Array.from({ length: 150 }, (_, i) => 3 + ((i * 37 + 11) % 370));
const cuts: readonly (readonly number[])[] = [
  [1],
  [7],
  [16, 16, 16],
  [15, 1, 33, 64],
  Array.from({ length: 140 }, () => 1),
];

function assertSame(actual: DirectResult, expected: DirectResult, label: string): void {
  assert.deepEqual(actual.tokens, expected.tokens, label);
  assert.deepEqual(actual.logprobs, expected.logprobs, label);
  for (const [step, logits] of actual.logits.entries())
    assert.deepEqual(logits, expected.logits[step], `${label}, step ${step}`);
}

const device = places().find(place => place.options.device !== undefined);

/** @param place of the first two runs. Default: the CPU, and then two threads of it give the same bits as well */
async function compare(
  name: string,
  compute: ComputeType,
  source: boolean,
  variants: readonly StepOptions[],
  place?: Place,
): Promise<void> {
  const directory = sharedPath('models', 'tiny', name)!;
  const model = await DirectModel.load(directory, compute, place?.options);
  const start = model.description.defaults.startToken ?? 0;
  const run = (options: StepOptions, with_: DirectModel) =>
    source ? with_.greedy(prompt, [start, ...prompt.slice(0, 40)], 6, options) : with_.greedy(null, prompt, 6, options);
  const whole = run({}, model);
  for (const options of variants)
    assertSame(run(options, model), whole, `${name} ${compute} ${JSON.stringify(options)}`);
  model.free();
  if (place) return;
  const twoThreads = await DirectModel.load(directory, compute, { threads: 2 });
  assertSame(run({}, twoThreads), whole, `${name} ${compute} on two threads`);
  twoThreads.free();
}

const skip = sharedPath('models', 'tiny') ? false : 'no golden models here';

describe('splitting a request', { skip }, () => {
  for (const compute of ['float32', 'bfloat16'] as const) {
    it(`gives the same bits for a causal prompt in any chunks, in ${compute}`, async () => {
      for (const name of ['decllm-tiny', 'llama-tiny'])
        await compare(
          name,
          compute,
          false,
          cuts.map(chunks => ({ chunks })),
        );
    });

    it(`gives the same bits for a decoder prompt in any chunks and an encoder in any layer ranges, in ${compute}`, async () => {
      const variants = [
        ...cuts.map(chunks => ({ chunks })),
        { layersPerStep: 1 },
        { layersPerStep: 1, chunks: [3, 5] },
      ];
      for (const name of ['redllm-tiny', 't5-tiny', 'bart-tiny']) await compare(name, compute, true, variants);
    });

    it(`gives the same bits where each step is launched before the last is collected, in ${compute}`, async () => {
      for (const name of ['decllm-tiny', 'decllm-biattn-tiny']) await compare(name, compute, false, [{ ahead: true }]);
      await compare('redllm-tiny', compute, true, [{ ahead: true }]);
    });
  }

  const skipDevice = device ? false : 'no device, and the emulated one was not built';
  for (const compute of ['float32', 'bfloat16'] as const) {
    it(`gives the same bits on a device in cuts, ahead and replayed, in ${compute}`, { skip: skipDevice }, async () => {
      const variants: StepOptions[] = [
        { chunks: [7, 1, 64] },
        { chunks: [16, 16], layersPerStep: 1 },
        { recorded: true },
        { recorded: true, ahead: true },
      ];
      for (const name of ['decllm-tiny', 'decllm-biattn-tiny', 'llama-tiny']) {
        const cuttable = name !== 'decllm-biattn-tiny';
        await compare(name, compute, false, cuttable ? variants : variants.slice(2), device);
      }
      for (const name of ['redllm-tiny', 't5-tiny', 'bart-tiny']) await compare(name, compute, true, variants, device);
    });
  }
});

/**
 * The promises on numbers on a device, here the emulated one: requests of all kinds, one after the other, all at once, and with so few
 * pages that rows are preempted and computed anew, give the same bits. Steps are launched ahead and replayed as recorded.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { ComputeType } from '../src/models/spec.ts';
import { answerOf, mixedRequests, tinyEngine } from './fixtures/mixed-requests.ts';
import { emulatedDevice, emulatedLibrary, sharedPath, testDevice } from './shared.ts';

function skipped(): string | false {
  if (sharedPath('models', 'tiny') === null) return 'no golden models here';
  if (testDevice.device !== 'cpu') return 'invariance and scarce-memory run on the device that was named';
  return existsSync(emulatedLibrary) ? false : 'the emulated CUDA backend was not built';
}

describe('company on a device', { skip: skipped() }, () => {
  // In float32 the emulator is slowest: few requests, of which none needs to be preempted.
  for (const [compute, count] of [
    ['float32', 5],
    ['bfloat16', 20],
  ] satisfies [ComputeType, number][]) {
    it(`and scarce memory change no bit of an answer in ${compute}`, async t => {
      const ample = await tinyEngine(compute, 64 << 20, {}, emulatedDevice);
      t.after(() => ample.close());
      const pageBytes = [...ample.models.values()].map(({ footprint }) => footprint.pageBytes);
      // What the greatest request of the greediest model takes, and little more.
      const scarce = await tinyEngine(compute, Math.max(...pageBytes) * 36, {}, emulatedDevice);
      t.after(() => scarce.close());
      // The models of the greatest pages, and answers that outgrow what was free when they began.
      const requests = mixedRequests(3)
        .filter(({ model }) => model === 'decllm-tiny' || model === 'redllm-tiny')
        .slice(0, count)
        .map(request => ({ ...request, params: { ...request.params, maxTokens: request.params.maxTokens + 36 } }));
      const alone: string[] = [];
      for (const request of requests) alone.push(await answerOf(ample, request));
      for (const engine of [ample, scarce]) {
        const together = await Promise.all(requests.map(request => answerOf(engine, request)));
        for (const [i, { model }] of requests.entries())
          assert.equal(
            together[i],
            alone[i],
            `request ${i} of ${model}, ${engine === ample ? 'ample' : 'scarce'} memory`,
          );
      }
      const preemptions = (await scarce.stats()).reduce((sum, model) => sum + model.preemptions, 0);
      assert.ok(preemptions > 0 || compute === 'float32', 'no request was preempted');
    });
  }
});

/** Where attention looks, through the addon: what is read, in which order, and that looking changes nothing. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { COUNT } from '../src/engine/plan.ts';
import { describeRandom } from '../src/models/registry.ts';
import { tinyConfigs } from './fixtures/checkpoint.ts';
import { DirectModel } from './fixtures/direct.ts';
import { places } from './shared.ts';

const [layers, heads] = [2, 2];
const source = [5, 9, 11, 3, 7, 21, 40];
const prompt = [1, 4, 8, 15, 16, 23, 42, 30];

/** Masses of one step over the prompt, by layer, token, head and bin. */
function look(model: DirectModel, encoder: boolean, prefix: number) {
  const { lone } = model;
  lone.native.probe({ recent: 3, parts: 4 });
  lone.plan.counts.fill(0);
  if (encoder) lone.encode(source);
  const sourceLength = encoder ? source.length : 0;
  lone.planRow({ tokens: prompt, index: 0, sourceLength, prefix, step: 0 });
  lone.plan.counts[COUNT.decodeRows] = 0;
  lone.run();
  const [self, cross] = [lone.native.read('self'), lone.native.read('cross')];
  lone.native.probe(null);
  return { self: grouped(self, 3), cross: grouped(cross, 4) };
}

/** Bins of each layer, token and head, in turn. */
function grouped(masses: Float32Array, bins: number): number[][] {
  return Array.from({ length: masses.length / bins }, (_, i) => [...masses.subarray(i * bins, (i + 1) * bins)]);
}

const sum = (bins: readonly number[]) => bins.reduce((a, b) => a + b);

for (const { name, options } of places())
  describe(`a probe of attention, ${name}`, () => {
    it('finds all of it, between the keys of each query', () => {
      const model = DirectModel.of(describeRandom(tinyConfigs.redllm, 3), 'float32', options);
      const { self, cross } = look(model, true, 0);
      assert.equal(self.length, layers * prompt.length * heads);
      assert.equal(cross.length, layers * prompt.length * heads);
      for (const [i, bins] of self.entries()) {
        const token = Math.floor(i / heads) % prompt.length;
        assert.ok(Math.abs(sum(bins) - 1) < 1e-5, `${bins}`);
        assert.equal(bins[2], 0, 'a causal query sees nothing behind itself');
        if (token < 3) assert.equal(bins[0], 0, 'all keys of the first queries are recent');
        else assert.ok(bins[0]! > 0 && bins[1]! > 0);
      }
      for (const bins of cross) assert.ok(Math.abs(sum(bins) - 1) < 1e-5 && bins.every(mass => mass > 0), `${bins}`);
      model.free();
    });

    it('sees what stands behind a query of a prefix-LM, and no source where there is none', () => {
      const model = DirectModel.of(describeRandom(tinyConfigs.decllmBiattn, 3), 'float32', options);
      const { self, cross } = look(model, false, 5);
      assert.equal(cross.length, 0);
      for (const [i, bins] of self.entries()) {
        const token = Math.floor(i / heads) % prompt.length;
        assert.equal(bins[2]! > 0, token < 4, `token ${token}: ${bins}`);
        assert.ok(Math.abs(sum(bins) - 1) < 1e-5);
      }
      model.free();
    });

    it('changes no bit of the answer, and reads nothing when it is off', () => {
      const model = DirectModel.of(describeRandom(tinyConfigs.redllm, 3), 'float32', options);
      const before = model.greedy(source, prompt, 3);
      assert.equal(model.lone.native.read('self').length, 0);
      model.lone.native.probe({ recent: 5, parts: 2 });
      assert.deepEqual(model.greedy(source, prompt, 3), before);
      model.free();
    });
  });

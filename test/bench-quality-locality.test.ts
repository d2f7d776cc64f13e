/** The probe of locality: shares by position and the map of cross-attention, held against masses that are read one token at a time. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { recordOf, writeRecord } from '../bench/command.ts';
import { LoneModel } from '../bench/lone-model.ts';
import type { CrossMap } from '../bench/quality/locality.ts';
import { averaged, MapSum } from '../bench/quality/masses.ts';
import { quality } from '../bench/quality/quality.ts';
import { readRecord } from '../bench/record.ts';
import { describeCheckpoint } from '../src/models/registry.ts';
import { type Cleanup, temporaryDirectory, tinyConfigs, writeCheckpoint } from './fixtures/checkpoint.ts';
import { testDevice } from './shared.ts';

const near = 4;
const prefix = 12;
const length = 300;
const ids = Array.from({ length }, (_, i) => 3 + ((i * 17 + (i >> 3)) % 45));
const [layers, heads] = [2, 2];

const place = {
  task: 'locality',
  device: testDevice.device,
  'cuda-library': testDevice.cudaLibrary ?? '',
  threads: 1,
  near,
  prefixes: `${prefix}`,
  lengths: `${length}`,
};

async function measure(t: Cleanup, given: Partial<typeof quality.flags>, tokens: readonly number[] = ids) {
  const path = join(temporaryDirectory(t), 'ids.txt');
  writeFileSync(path, JSON.stringify(tokens));
  const flags = { ...quality.flags, ...place, tokens: path, ...given };
  const measured = (await quality.run(flags, [], () => {}))!;
  return { measured, path, record: recordOf('quality', { started: new Date(), flags, measured }) };
}

/** Of each decoder token: the near share, and where it looks in the source; one token a step behind what must be whole. */
async function oneByOne(directory: string, parts: number) {
  const description = await describeCheckpoint(directory);
  const { spec, defaults } = description;
  const where = { ...testDevice, isa: 'auto', threads: 1 };
  const lone = new LoneModel(description, 'float32', where, { source: prefix, target: length + 1 });
  lone.native.probe({ recent: near, parts });
  lone.plan.counts.fill(0);
  if (spec.encoder) lone.encode(ids.slice(0, prefix));
  const tokens = spec.encoder ? [defaults.startToken!, ...ids.slice(prefix)] : [defaults.promptStart!, ...ids];
  const whole = spec.mask === 'prefix' ? prefix + 1 : 0;
  const shares: number[] = [];
  const source: number[][] = [];
  for (let index = 0; index < tokens.length; ) {
    const part = tokens.slice(index, index + (index === 0 ? Math.max(1, whole) : 1));
    lone.runRow({ tokens: part, index, sourceLength: spec.encoder ? prefix : 0, prefix: whole, step: 0 });
    const mean = (masses: Float32Array, token: number, bins: number, bin: number) => {
      let sum = 0;
      for (let layer = 0; layer < layers; layer++)
        for (let head = 0; head < heads; head++)
          sum += masses[((layer * part.length + token) * heads + head) * bins + bin]!;
      return sum / (layers * heads);
    };
    const [self, cross] = [lone.native.read('self'), lone.native.read('cross')];
    for (let token = 0; token < part.length; token++) {
      shares.push(mean(self, token, 3, 1));
      if (spec.encoder) source.push(Array.from({ length: parts }, (_, bin) => mean(cross, token, parts, bin)));
    }
    index += part.length;
  }
  lone.free();
  return { shares, source };
}

function close(found: number, expected: number, what: string) {
  assert.ok(Math.abs(found - expected) < 1e-6, `${what}: ${found}, expected ${expected}`);
}

describe('locality', () => {
  for (const name of ['redllm', 'decllm', 'decllmBiattn'] as const)
    it(`is the mean over heads and layers, by position: ${name}`, async t => {
      const directory = writeCheckpoint(t, { config: tinyConfigs[name] });
      const { measured } = await measure(t, { model: `m=${directory}`, bin: 1, parts: 5 });
      const { shares, source } = await oneByOne(directory, 5);
      assert.equal(measured.cells.length, shares.length);
      for (const [i, { labels, figures }] of measured.cells.entries()) {
        assert.deepEqual(labels, { model: 'm', prefix, length, position: i, bin: 1 });
        close(figures.near!.repetitions[0]!, shares[i]!, `position ${i}`);
      }
      const cross = measured.more!.cross as CrossMap[];
      if (name !== 'redllm') {
        assert.deepEqual(cross, []);
        return;
      }
      close(shares[near - 1]!, 1, 'a query whose keys are all near');
      const { map } = cross[0]!;
      assert.equal(map.length, 5);
      for (const [row, columns] of map.entries()) {
        const own = source.filter((_, i) => Math.floor((i / source.length) * 5) === row);
        for (const [column, mass] of columns.entries())
          close(mass, own.reduce((sum, bins) => sum + bins[column]!, 0) / own.length, `map ${row}, ${column}`);
        close(
          columns.reduce((a, b) => a + b),
          1,
          `row ${row}`,
        );
      }
    });

  it('has a repetition for each window, and a record that is read', async t => {
    const names = ['redllm', 't5v10', 'bart'] as const;
    const model = names.map(name => `${name}=${writeCheckpoint(t, { config: tinyConfigs[name] })}`).join(',');
    const { record, path } = await measure(t, { model, lengths: '20,40', windows: 3, bin: 8 });
    writeRecord(path, record);
    const { cells, more } = readRecord(path);
    assert.ok(cells.every(({ figures }) => figures.near!.repetitions.length === 3));
    assert.deepEqual(
      (more!.cross as CrossMap[]).map(each => [each.model, each.map.length, each.map[0]!.length]),
      names.map(name => [name, 29, prefix]),
    );
  });

  it('is refused, by its flag, where it cannot be had', async t => {
    const model = `m=${writeCheckpoint(t, { config: tinyConfigs.redllm })}`;
    const cases: [given: Partial<typeof quality.flags>, said: RegExp][] = [
      [{ near: 0 }, /^--near must be a whole number from 1/],
      [{ parts: 0 }, /^--parts must be a whole number from 1/],
      [{ lengths: `${prefix}` }, /^None of --prefixes and --lengths fit m/],
      [{ isa: 'fast' }, /^--isa must be/],
    ];
    for (const [given, said] of cases)
      await assert.rejects(measure(t, { model, ...given }), ({ message }) => said.test(message));
  });
});

describe('masses', () => {
  it('are averaged over layers of different heads, each head alike', () => {
    // Two tokens, two bins; a layer of one head and one of two.
    const masses = Float32Array.of(0, 1, 1, 0, 0.5, 0.5, 1, 0, 0.25, 0.75, 0.5, 0.5);
    assert.deepEqual(averaged(masses, 2, [1, 2]), [
      [0.5, 0.5],
      [1.75 / 3, 1.25 / 3],
    ]);
    assert.deepEqual(averaged(new Float32Array(), 2, []), []);
  });

  it('are pooled to a map of as many rows as there are tokens, at most', () => {
    const map = new MapSum(4, 1);
    for (const [place, mass] of [[0, 1] as const, [0.1, 3] as const, [0.5, 5] as const]) map.add(place, [mass]);
    assert.deepEqual(map.mean(), [[2], [5]]);
  });
});

/** Every protocol of `arch` on tiny models through the real engine: the record that it leaves, whole and in parts. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { arch } from '../bench/arch/arch.ts';
import { Floors } from '../bench/arch/floors.ts';
import { grids, placesOf } from '../bench/arch/grids.ts';
import { equalCost, equalParameters } from '../bench/arch/models.ts';
import { type Unit, unitsOf } from '../bench/arch/parts.ts';
import { protocols } from '../bench/arch/place.ts';
import { usual } from '../bench/arch/rates.ts';
import { repeats } from '../bench/arch/reuse.ts';
import { recordOf, writeRecord } from '../bench/command.ts';
import { readFlags } from '../bench/flags.ts';
import { type BenchmarkRecord, placeOf, readRecord } from '../bench/record.ts';

const folder = mkdtempSync(join(tmpdir(), 'redllm-arch-'));
after(() => rmSync(folder, { recursive: true }));

/** As the command line does it; records need a commit, which copies without a repository are told. */
async function run(path: string, ...args: string[]): Promise<BenchmarkRecord> {
  process.env.REDLLM_COMMIT ??= '0'.repeat(40);
  const { flags } = readFlags(['--profile', 'quick', '--device', 'cpu', '--threads', '1', ...args], arch.flags);
  const started = new Date();
  const measured = (await arch.run(flags, [path], () => {}))!;
  writeRecord(path, recordOf('arch', { started, flags, measured }));
  return readRecord(path);
}

const whole = run(join(folder, 'whole.json'));

test('there is a cell for every model at every place, and a ratio for everything that is timed', async () => {
  const { cells, ratios, seed } = await whole;
  assert.equal(seed, 1);
  const names = ['redllm-tiny', 'decllm-tiny', 'decllm-biattn-tiny'];
  for (const protocol of protocols) {
    const models = protocol === 'equal-cost' ? ['redllm-tiny-3+3', 'decllm-tiny'] : names;
    for (const { labels } of placesOf(grids.quick, protocol))
      for (const model of models) {
        const place = placeOf({ protocol, labels: { model, size: 'tiny', ...labels } });
        assert.ok(
          cells.some(cell => placeOf(cell) === place),
          place,
        );
      }
  }
  const pairs = new Set(ratios.map(({ above, below }) => `${above}/${below}`));
  assert.deepEqual(
    [...pairs].sort(),
    ['redllm-tiny-3+3/decllm-tiny', 'redllm-tiny/decllm-biattn-tiny', 'redllm-tiny/decllm-tiny'].sort(),
  );
  assert.deepEqual(new Set(ratios.map(({ protocol }) => protocol)), new Set(protocols));
});

test('what is timed has a limit with its reason, in every protocol', async () => {
  const { cells } = await whole;
  for (const protocol of protocols)
    for (const { figures } of cells.filter(cell => cell.protocol === protocol)) {
      const limits = Object.values(figures).flatMap(({ limit }) => (limit ? [limit] : []));
      assert.ok(limits.length > 0, protocol);
      for (const { value, because } of limits) assert.ok(Number.isFinite(value) && because.includes(' over '), because);
    }
});

test('the two counts of a pass stand beside what the engine counted', async () => {
  const { cells } = await whole;
  for (const { figures } of cells.filter(({ protocol }) => protocol === 'paper')) {
    const [executed, counted] = [figures.executed_flop!.median, figures.counted_flop!.median];
    assert.ok(Math.abs(counted / executed - 1) < 0.01);
    assert.ok(figures.paper_flop!.median > figures.all_logits_flop!.median);
    assert.ok(figures.all_logits_flop!.median > executed);
  }
});

test('sources that come again are taken from the caches, and others are not', async () => {
  const { cells } = await whole;
  const share = (model: string, repeat: number, n: number) =>
    cells.find(({ protocol, labels }) => {
      const here = labels.model === model && labels.repeat === repeat && labels.n === n;
      return protocol === 'reuse' && here;
    })!.figures.cached_share!;
  for (const n of [1, 2]) {
    for (const model of ['redllm-tiny', 'decllm-tiny', 'decllm-biattn-tiny'])
      assert.deepEqual(share(model, 0, n).repetitions, [0, 0]);
    // A source is shared from the moment it is asked for; a prompt, once it has been computed.
    assert.deepEqual(share('redllm-tiny', 50, n).repetitions, [50, 50]);
    for (const model of ['decllm-tiny', 'decllm-biattn-tiny'])
      for (const value of share(model, 50, n).repetitions) assert.ok(value > 0 && value <= 50);
  }
  for (const percent of [0, 25, 50, 90]) {
    const count = Array.from({ length: 20 }, (_, i) => repeats(i, percent)).filter(Boolean).length;
    assert.equal(count, percent / 5);
  }
});

test('parts add up to the whole, and none is measured twice', async () => {
  const path = join(folder, 'parts.json');
  const first = await run(path, '--part', '1/2', '--repetitions', '1');
  const both = await run(path, '--part', '2/2', '--repetitions', '1');
  const places = ({ cells }: BenchmarkRecord) =>
    cells
      .filter(({ protocol }) => protocol !== 'machine')
      .map(placeOf)
      .sort();
  assert.ok(places(first).length < places(both).length);
  assert.deepEqual(places(both), places(await whole));
  assert.equal((both.more!.parts as unknown[]).length, 2);
  await assert.rejects(run(path, '--part', '2/2', '--repetitions', '1'), /already/);
  await assert.rejects(run(path, '--part', '1/3', '--repetitions', '2'), /no part of one whole/);
});

test('every place is in one part, of however many', () => {
  const units = grids.cuda.sizes.flatMap(size =>
    protocols.flatMap(protocol => {
      const match =
        protocol === 'equal-cost'
          ? equalCost(size, ['redllm', 'decllm'])
          : equalParameters(size, ['redllm', 'decllm', 'decllm-biattn']);
      return match === null ? [] : [{ match, protocol, places: placesOf(grids.cuda, protocol) }];
    }),
  );
  const placed = (some: readonly Unit[]) =>
    some.flatMap(({ match, protocol, places }) =>
      places.map(({ labels }) => placeOf({ protocol, labels: { size: match.size, ...labels } })),
    );
  const nominal = { compute: 'bfloat16' as const, floors: new Floors(usual.cuda), repetitions: 3 };
  for (const count of [1, 2, 12]) {
    const parts = Array.from({ length: count }, (_, i) => unitsOf(units, `${i + 1}/${count}`, nominal));
    assert.deepEqual(
      parts.flatMap(part => placed([...part])),
      placed(units),
    );
    for (const part of parts) assert.ok(part.length > 0);
  }
  for (const part of ['0/2', '3/2', 'x']) assert.throws(() => unitsOf(units, part, nominal), /--part/);
});

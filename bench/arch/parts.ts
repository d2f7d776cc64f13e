/** A grid in parts that add up to one record: which units are of a part, and how a part joins those that are there. */
import { existsSync } from 'node:fs';
import { describeRandom } from '../../src/models/registry.ts';
import type { ComputeType } from '../../src/models/spec.ts';
import { parameterCount } from '../../src/models/spec-weights.ts';
import type { Measured } from '../command.ts';
import type { Flags } from '../flags.ts';
import { commit } from '../provenance.ts';
import { type BenchmarkRecord, placeOf, readRecord } from '../record.ts';
import type { Floors } from './floors.ts';
import type { Match } from './models.ts';
import type { Place, Protocol } from './place.ts';

/** A protocol on the models of one match, or some of its places. */
export interface Unit {
  readonly match: Match;
  readonly protocol: Protocol;
  readonly places: readonly Place[];
}

/** What loading a model takes beside measuring it, in seconds a billion parameters. */
const loading = 4;
/** How often the floors are reached, about. */
const efficiency = 0.6;

/**
 * Places in turn, as many as take a part of the whole time, by what they take at least on a usual machine.
 * @param part `2/6`, or empty: all   @param floors of that machine, the same for every part   @throws Error where it is no part
 */
export function unitsOf(
  units: readonly Unit[],
  part: string,
  { compute, floors, repetitions }: { compute: ComputeType; floors: Floors; repetitions: number },
): readonly Unit[] {
  if (part === '') return units;
  const [, which, of] = /^(\d+)\/(\d+)$/.exec(part) ?? [];
  const [k, n] = [Number(which), Number(of)];
  if (which === undefined || k < 1 || k > n) throw new Error(`--part must be like 1/6, not '${part}'.`);
  const costs = units.map(({ match, places }) => {
    const models = match.candidates.map(({ config }) => ({ spec: describeRandom(config, 0).spec, compute }));
    const load = models.reduce((sum, { spec }) => sum + (loading * parameterCount(spec)) / 1e9, 0) / places.length;
    return places.map(place => {
      const once = models.reduce((sum, model) => sum + place.seconds(model, floors), 0);
      return load + ((repetitions + 1) * once) / efficiency;
    });
  });
  const total = costs.flat().reduce((sum, cost) => sum + cost, 0);
  let before = 0;
  return units
    .map((unit, i) => ({
      ...unit,
      places: unit.places.filter((_, j) => {
        const middle = before + costs[i]![j]! / 2;
        before += costs[i]![j]!;
        return Math.min(n, 1 + Math.floor((n * middle) / total)) === k;
      }),
    }))
    .filter(({ places }) => places.length > 0);
}

/** Flags in which the parts of one record may differ. */
const free = ['part', 'sizes', 'protocols', 'models'];

/**
 * The record that a part is to join; null: it is the first.
 * @throws Error where that is of another commit, or was asked for otherwise: before anything is measured
 */
export function recordToJoin(path: string | undefined, flags: Flags): BenchmarkRecord | null {
  if (path === undefined || !existsSync(path)) return null;
  const record = readRecord(path);
  const now = commit();
  if (record.benchmark !== 'arch') throw new Error(`${path} is a record of ${record.benchmark}.`);
  if (record.commit !== now)
    throw new Error(`${path} is of commit ${record.commit}, and this is ${now}: no parts of one whole.`);
  for (const [name, value] of Object.entries(flags))
    if (!free.includes(name) && record.flags[name] !== value)
      throw new Error(`${path} was measured with --${name} ${record.flags[name]}: no part of one whole.`);
  return record;
}

/** @throws Error where the record has one of their places already: before anything is measured */
export function refuseRepeated(record: BenchmarkRecord | null, units: readonly Unit[]): void {
  const known = new Set(record?.cells.map(placeOf));
  for (const { match, protocol, places } of units)
    for (const { labels } of places)
      for (const { name } of match.candidates) {
        const place = placeOf({ protocol, labels: { model: name, size: match.size, ...labels } });
        if (known.has(place)) throw new Error(`The record has ${place} already.`);
      }
}

/** @throws Error where the two were measured on different devices */
export function joined(record: BenchmarkRecord | null, part: Measured): Measured {
  if (record === null) return part;
  if (record.device !== part.device)
    throw new Error(`The other parts ran on ${record.device}, this one on ${part.device}.`);
  const list = (more: Measured['more'], name: string) => (more?.[name] as unknown[] | undefined) ?? [];
  return {
    ...part,
    disturbed: [...new Set([...record.disturbed, ...part.disturbed])],
    cells: [...record.cells, ...part.cells],
    ratios: [...record.ratios, ...part.ratios],
    more: {
      ...part.more,
      parts: [...list(record.more, 'parts'), ...list(part.more, 'parts')],
      left_out: [...list(record.more, 'left_out'), ...list(part.more, 'left_out')],
    },
  };
}

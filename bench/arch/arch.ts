/** RedLLM, DecLLM and DecLLM+BiAttn on the same kernels, side by side; docs/benchmark.md says how to read it. */
import { deviceOptions } from '../../src/cli/models.ts';
import { type Config, configSchema } from '../../src/config.ts';
import { openRuntime } from '../../src/device.ts';
import type { ComputeType } from '../../src/models/spec.ts';
import { loadAddon, type NativeRuntime } from '../../src/native.ts';
import type { Command, Measured, Say } from '../command.ts';
import { groupBy } from '../group.ts';
import type { BenchmarkRecord } from '../record.ts';
import { cellOf, ratiosOf, tableOf } from './cells.ts';
import { LoadWatch, spreadSentences } from './disturbances.ts';
import { withMatch } from './engine.ts';
import { Floors } from './floors.ts';
import { type Grid, grids, type Profile, placesOf, profiles } from './grids.ts';
import { type Measurement, measure } from './measure.ts';
import { architectures, equalCost, equalParameters } from './models.ts';
import { joined, recordToJoin, refuseRepeated, type Unit, unitsOf } from './parts.ts';
import { protocols } from './place.ts';
import { Rates, usual } from './rates.ts';

const flags = {
  /** cpu, cuda or quick: the grid; empty: that of where it runs. */
  profile: '',
  device: 'auto',
  /** Empty: the profile's. */
  sizes: '',
  protocols: protocols.join(','),
  models: architectures.join(','),
  /** 0: the profile's. */
  repetitions: 0,
  dtype: 'bfloat16',
  /** Of weights and tokens. */
  seed: 1,
  /** Threads that compute on the CPU; 0: as many as the process may use. */
  threads: 0,
  /** MiB of keys and values; 0: 1024 on the CPU, on a device what the weights leave. */
  'kv-memory': 0,
  /** K/N: the K-th of N parts of the grid, which joins those that are in the record already. */
  part: '',
};
type ArchFlags = typeof flags;

export const arch: Command<ArchFlags> = {
  about: 'the architectures at equal parameters and at equal cost, on the same kernels',
  takes: '[out.json]',
  flags,
  run: async (given, paths, say) => {
    const record = given.part === '' ? null : recordToJoin(paths[0], given);
    const { runtime, notice } = openRuntime(loadAddon(), deviceOptions(configSchema.parse(deviceSettings(given))));
    if (notice !== null) say(notice);
    try {
      return joined(record, await new Run(given, runtime, say).all(record));
    } finally {
      runtime.free();
    }
  },
};

/** As a server's settings have them; the library may be another, as for every command. */
function deviceSettings({ device, threads }: ArchFlags): Partial<Config> {
  const cudaLibrary = process.env.REDLLM_CUDA_LIBRARY;
  return { device, threads, ...(cudaLibrary ? { cudaLibrary } : {}) };
}

/** @throws Error where one of the names is none of those there are */
function listOf<T extends string>(flag: string, given: string, known: readonly T[]): T[] {
  const names = given.split(',');
  const wrong = names.find(name => !known.includes(name as T));
  if (wrong !== undefined) throw new Error(`--${flag} has ${known.join(', ')}, but not '${wrong}'.`);
  return known.filter(name => names.includes(name));
}

class Run {
  readonly #flags: ArchFlags;
  readonly #runtime: NativeRuntime;
  readonly #say: Say;
  readonly #profile: Profile;
  readonly #grid: Grid;
  readonly #compute: ComputeType;
  readonly #rates: Rates;
  readonly #load = new LoadWatch();
  readonly #leftOut: string[] = [];

  constructor(given: ArchFlags, runtime: NativeRuntime, say: Say) {
    this.#flags = given;
    this.#runtime = runtime;
    this.#say = say;
    const fitting = runtime.device.startsWith('cuda') ? 'cuda' : 'cpu';
    this.#profile = listOf('profile', given.profile || fitting, profiles)[0]!;
    this.#grid = grids[this.#profile];
    this.#compute = listOf('dtype', given.dtype, ['bfloat16', 'float32'])[0]!;
    this.#rates = new Rates(runtime, this.#compute, this.#profile);
  }

  /** @param record that it is to join */
  async all(record: BenchmarkRecord | null): Promise<Measured> {
    const started = new Date();
    const nominal = {
      compute: this.#compute,
      floors: new Floors(usual[this.#profile]),
      repetitions: this.#repetitions,
    };
    const units = unitsOf(this.#units(), this.#flags.part, nominal);
    refuseRepeated(record, units);
    const measured: { unit: Unit; measurements: Measurement[] }[] = [];
    this.#rates.measure();
    for (const group of sameModels(units)) measured.push(...(await this.#group(group)));
    const floors = new Floors(this.#rates.medians);
    const part = this.#flags.part === '' ? 'whole' : this.#flags.part;
    const cells = measured.flatMap(({ unit, measurements }) =>
      measurements.map(one => cellOf(one, unit.match.size, floors)),
    );
    const ratios = ratiosOf(cells);
    const seconds = Math.round((Date.now() - started.getTime()) / 1000);
    return {
      device: this.#runtime.device,
      seed: this.#flags.seed,
      disturbed: [...this.#load.sentences(Math.max(1, this.#runtime.threads)), ...spreadSentences(cells)],
      cells: [...cells, this.#rates.cell(part)],
      ratios,
      more: {
        profile: this.#profile,
        grid: this.#grid,
        parts: [{ part, started: started.toISOString(), seconds, flags: this.#flags }],
        left_out: this.#leftOut,
      },
      table: tableOf(cells, ratios),
    };
  }

  get #repetitions(): number {
    return this.#flags.repetitions || this.#grid.repetitions;
  }

  #units(): Unit[] {
    const which = listOf('models', this.#flags.models, architectures);
    const wanted = listOf('protocols', this.#flags.protocols, protocols);
    const sizes = this.#flags.sizes === '' ? this.#grid.sizes : this.#flags.sizes.split(',');
    return sizes.flatMap(size =>
      wanted.flatMap((protocol): Unit[] => {
        const match = protocol === 'equal-cost' ? equalCost(size, which) : equalParameters(size, which);
        return match === null ? [] : [{ match, protocol, places: placesOf(this.#grid, protocol) }];
      }),
    );
  }

  /** Units of the same models, one engine for all of them. */
  async #group(units: readonly Unit[]): Promise<{ unit: Unit; measurements: Measurement[] }[]> {
    const { match } = units[0]!;
    const where = {
      settings: deviceSettings(this.#flags),
      seed: this.#flags.seed,
      compute: this.#compute,
      batchTokens: this.#grid.batchTokens,
      kvMemory: this.#flags['kv-memory'] * 2 ** 20,
    };
    const places = units.flatMap(unit => unit.places);
    return withMatch(match, where, this.#runtime, places, this.#say, async subjects => {
      const found: { unit: Unit; measurements: Measurement[] }[] = [];
      for (const unit of units) {
        const [fitting, others] = split(unit.places, place => subjects.every(subject => subject.holds(place.needs)));
        for (const { protocol, labels } of others)
          this.#leaveOut(
            `${protocol} of ${match.size} at ${JSON.stringify(labels)}: no memory for its keys and values`,
          );
        const asked = {
          repetitions: this.#repetitions,
          seed: this.#flags.seed,
          first: places.indexOf(unit.places[0]!),
        };
        const measurements = await measure(subjects, fitting, asked, this.#say, () => {
          this.#rates.measure();
          this.#load.look();
        });
        found.push({ unit, measurements });
      }
      return found;
    });
  }

  #leaveOut(sentence: string): void {
    this.#say(`left out: ${sentence}`);
    this.#leftOut.push(sentence);
  }
}

/** Runs of units whose models are the same; those of one size stand together. */
function sameModels(units: readonly Unit[]): Unit[][] {
  return [...groupBy(units, ({ match }) => match.candidates.map(({ name }) => name).join(' ')).values()];
}

function split<T>(all: readonly T[], test: (one: T) => boolean): [yes: T[], no: T[]] {
  return [all.filter(test), all.filter(one => !test(one))];
}

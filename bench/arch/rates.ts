/** What the machine can do at most, measured between the protocols of the same run: limits follow from the medians. */
import type { ComputeType } from '../../src/models/spec.ts';
import type { MachineRates, MeasureSizes, NativeRuntime } from '../../src/native.ts';
import { type Cell, figure } from '../record.ts';
import { median } from '../statistics.ts';
import type { Profile } from './grids.ts';

const sizes: Readonly<Record<Profile, MeasureSizes>> = {
  cpu: { bytes: 256 * 2 ** 20, rows: 512, width: 4096, times: 3 },
  cuda: { bytes: 2 ** 30, rows: 8192, width: 8192, times: 20 },
  quick: { bytes: 2 ** 20, rows: 64, width: 128, times: 1 },
};

/** Of a usual machine: by them a grid is cut into parts, the same ones in every run. */
export const usual: Readonly<Record<Profile, MachineRates>> = {
  cpu: { bytesPerSecond: 3.5e10, flopPerSecond: 6e11 },
  cuda: { bytesPerSecond: 2.5e12, flopPerSecond: 5e14 },
  quick: { bytesPerSecond: 3.5e10, flopPerSecond: 6e11 },
};

export class Rates {
  readonly #runtime: NativeRuntime;
  readonly #compute: ComputeType;
  readonly #sizes: MeasureSizes;
  readonly #measured: MachineRates[] = [];

  constructor(runtime: NativeRuntime, compute: ComputeType, profile: Profile) {
    this.#runtime = runtime;
    this.#compute = compute;
    this.#sizes = sizes[profile];
  }

  measure(): void {
    this.#measured.push(this.#runtime.measure(this.#compute, this.#sizes));
  }

  get medians(): MachineRates {
    return {
      bytesPerSecond: median(this.#measured.map(({ bytesPerSecond }) => bytesPerSecond)),
      flopPerSecond: median(this.#measured.map(({ flopPerSecond }) => flopPerSecond)),
    };
  }

  /** @param part of the grid, whose limits follow from these */
  cell(part: string): Cell {
    return {
      protocol: 'machine',
      labels: { part, compute: this.#compute },
      figures: {
        bytes_per_second: figure(
          'B/s',
          this.#measured.map(({ bytesPerSecond }) => bytesPerSecond),
        ),
        flop_per_second: figure(
          'FLOP/s',
          this.#measured.map(({ flopPerSecond }) => flopPerSecond),
        ),
      },
    };
  }
}

/** Native code that computes nothing and knows how long that took: what is left of a step is the policy's own time. */
import { performance } from 'node:perf_hooks';
import { COUNT } from '../../src/engine/plan.ts';
import type { ModelSpec } from '../../src/models/spec.ts';
import type {
  MachineRates,
  ModelFootprint,
  MultiplyAdds,
  NativeModel,
  NativeRuntime,
  PageGroup,
  PlanArrays,
} from '../../src/native.ts';

export const nullPageTokens = 16;
/** No memory is taken: this only turns kvMemory into a number of pages. */
export const nullPageBytes = 1;

/** Every sample chooses this token, which ends nothing. */
const chosen = 7;

export class NullRuntime implements NativeRuntime {
  readonly note = '';
  readonly device = 'none';
  readonly threads = 1;
  readonly asynchronous: boolean = false;
  readonly model = new NullModel();

  memory(): { free: number; total: number } {
    return { free: 0, total: 0 };
  }

  footprint(spec: ModelSpec): ModelFootprint {
    const self: PageGroup = { kind: 'self', window: 0 };
    const cross: PageGroup = { kind: 'cross', window: 0 };
    return {
      weightBytes: 1,
      pageTokens: nullPageTokens,
      pageBytes: nullPageBytes,
      groups: spec.encoder ? [self, cross] : [self],
    };
  }

  load(): NativeModel {
    return this.model;
  }

  measure(): MachineRates {
    return { bytesPerSecond: 1, flopPerSecond: 1 };
  }

  free(): void {}
}

export class NullModel implements NativeModel {
  #counts = new Int32Array(COUNT.used);
  #tokens = new Int32Array(0);
  #spent = 0;
  /** Decoder rows of the last step. */
  rows = 0;

  loadSome(): { done: number; total: number } {
    return { done: 1, total: 1 };
  }

  reservePages(): void {}

  bind(plan: PlanArrays): void {
    this.#counts = plan.counts as Int32Array<ArrayBuffer>;
    this.#tokens = plan.outToken as Int32Array<ArrayBuffer>;
  }

  launch(): void {
    const start = performance.now();
    this.rows = this.#counts[COUNT.rows]!;
    this.#spent += performance.now() - start;
  }

  collect(): void {
    const start = performance.now();
    this.#tokens.fill(chosen, 0, this.#counts[COUNT.samples]);
    this.#spent += performance.now() - start;
  }

  /** Milliseconds spent in launch and collect since the last call. */
  takeSpent(): number {
    const spent = this.#spent;
    this.#spent = 0;
    return spent;
  }

  keep(): void {}

  probe(): void {}

  read(): Float32Array {
    return new Float32Array(0);
  }

  counters(): MultiplyAdds {
    return { products: 0, attention: 0 };
  }

  free(): void {}
}

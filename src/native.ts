/**
 * The native addon: the only file that loads the `.node`, and the type of its whole surface. Calls are synchronous; arguments
 * are trusted (checked before they come here); what native code throws is a broken invariant or a lack of memory.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { RedllmError } from './errors.ts';
import type { ComputeType, ModelSpec } from './models/spec.ts';
import type { WeightSource } from './models/weights.ts';
import { packageRoot } from './package-root.ts';

/** Layers that share page tables: all that reach equally far back, at most `layersPerPage` of them. */
export interface PageGroup {
  readonly kind: 'self' | 'cross';
  /** How many tokens back a query of this group sees; 0: all. */
  readonly window: number;
}

/** What a model takes, known without its weights. */
export interface ModelFootprint {
  /** Packed for this machine's kernels. */
  readonly weightBytes: number;
  readonly pageTokens: number;
  readonly pageBytes: number;
  /** In the order in which a row's page tables stand in the plan: self groups, then the cross groups of an encoder-decoder (one, unless windows split the layers). */
  readonly groups: readonly PageGroup[];
}

/** Greatest counts of one step; scratch and plan are sized by them once. */
export interface StepLimits {
  /** Decoder tokens of a step, over all rows. */
  readonly tokens: number;
  readonly rows: number;
  /** Source tokens whose encoder states live at a time. */
  readonly sourceTokens: number;
  readonly sources: number;
  readonly samples: number;
  /** Greatest number of alternatives that a sample reports. */
  readonly alternatives: number;
  /** Greatest index of a source token and of a decoder token, plus one: tables of positions are made for them. */
  readonly maxSource: number;
  readonly maxTarget: number;
}

/** One step, as typed arrays (src/engine/plan.ts says what each holds; native/plan.h mirrors it). */
export type PlanArrays = Readonly<Record<string, Int32Array | Float32Array | Uint32Array>>;

/** How keys are told apart where attention is looked at. */
export interface ProbeBins {
  /** Self-attention has three bins: the last so many keys up to the query's own stand in the middle, those before and behind beside. */
  readonly recent: number;
  /** Cross-attention has so many, equal parts of the source. */
  readonly parts: number;
}

export interface NativeModel {
  /** Packs about `bytes` more of the weights. Called until done === total. */
  loadSome(bytes: number): { done: number; total: number };
  /** Reserves this many pages, once: address space on the CPU, where memory is taken as they are first written; memory on a device. */
  reservePages(pages: number): void;
  /** Ties the plan's arrays to this model; launch() reads them, collect() writes those named out*. */
  bind(plan: PlanArrays): void;
  /** Starts the step that the plan describes. May return before it is done. */
  launch(): void;
  /** Waits for the oldest step not yet collected and writes its results. */
  collect(): void;
  /** Keeps what `read` returns; costs a copy a step. For tests and probes. */
  keep(on: boolean): void;
  /** Looks where the decoder's attention goes, in bins of keys; null: no longer. Costs the attention once more a step. For probes. */
  probe(bins: ProbeBins | null): void;
  /**
   * Of the last step collected: logits [samples, vocabulary] of the model, or final encoder states [source tokens, width], while they
   * are kept; while a probe is on, what shares of their probability self- and cross-attention gave to each bin, [layers, tokens,
   * heads, bins].
   */
  read(what: 'logits' | 'encoder' | 'self' | 'cross'): Float32Array;
  /** What all launches so far came to. */
  counters(): MultiplyAdds;
  /** Releases everything; any call after it throws. */
  free(): void;
}

/**
 * Multiply-adds, counted where native code calls its ops. An embedding that is looked up, norms, rotations and sampling are not in
 * them; rows that only fill a device's launch up are.
 */
export interface MultiplyAdds {
  /** Of products with weights. */
  readonly products: number;
  /** Of queries with the keys that they see, and of probabilities with their values. */
  readonly attention: number;
}

/** What is measured, and for how long. */
export interface MeasureSizes {
  /** Of memory; more than any cache holds. */
  readonly bytes: number;
  /** Of the left side of a product whose weight is [width, width]. */
  readonly rows: number;
  readonly width: number;
  /** One after the other, timed together. */
  readonly times: number;
}

export interface MachineRates {
  /** The CPU's: read by all threads; a device's: read and written by a copy. */
  readonly bytesPerSecond: number;
  /** Of a product in the compute type. */
  readonly flopPerSecond: number;
}

export interface NativeRuntime {
  /** What serves the device beside our own kernels, or why nothing does, without a full stop; empty on the CPU. */
  readonly note: string;
  readonly device: string;
  /** 0: it is not threads that compute. */
  readonly threads: number;
  /** Whether launch() returns before the step is done: then the next may be launched before it is collected, two at most over all models. */
  readonly asynchronous: boolean;
  /** Bytes of the device as they are now; 0, 0 on the CPU, where the operating system commits what is touched. */
  memory(): { readonly free: number; readonly total: number };
  footprint(spec: ModelSpec, compute: ComputeType): ModelFootprint;
  load(spec: ModelSpec, compute: ComputeType, weights: WeightSource, limits: StepLimits): NativeModel;
  /** What the machine can do at most, for benchmarks. Takes memory for it and gives it back. */
  measure(compute: ComputeType, sizes: MeasureSizes): MachineRates;
  free(): void;
}

export interface DeviceReport {
  readonly name: string;
  readonly available: boolean;
  /** Why not, in a sentence; or what it is. */
  readonly detail: string;
}

export interface RuntimeOptions {
  /** 'cpu' (the default) or 'cuda:0' and on. */
  readonly device?: string;
  /** 'auto', 'plain', 'avx2' or 'avx512', on the CPU. */
  readonly isa: string;
  /** 0: as many as the process may use. */
  readonly threads: number;
  /** The CUDA backend's library, an absolute path. Default: the one beside the addon. */
  readonly library?: string;
}

export interface Addon {
  /** The CPU's instruction sets, best first, then each CUDA device, or `cuda` where there is none, with the reason. */
  devices(library?: string): DeviceReport[];
  /** @throws Error with the reason where the device cannot be opened */
  createRuntime(options: RuntimeOptions): NativeRuntime;
}

let addon: Addon | undefined;

/** @throws RedllmError `native_unavailable` with what to do about it. */
export function loadAddon(): Addon {
  if (addon) return addon;
  const path = addonPath();
  try {
    addon = createRequire(import.meta.url)(path) as Addon;
  } catch (cause) {
    throw new RedllmError(
      'native_unavailable',
      `The native addon at ${path} could not be loaded (${(cause as Error).message}). Build it with: npm run build:native`,
      { cause },
    );
  }
  return addon;
}

function addonPath(): string {
  return process.env.REDLLM_ADDON || join(packageRoot, 'build', 'Release', 'redllm.node');
}

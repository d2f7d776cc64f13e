/** A model whose weights are being packed. When they are, its pages are reserved and it can run. */
import { RedllmError } from '../errors.ts';
import type { ModelFootprint, NativeModel, NativeRuntime, StepLimits } from '../native.ts';
import { type ModelLimits, mebibytes, modelLimits, planSizes, stepLimits } from './limits.ts';
import { MemoryBudget } from './memory-budget.ts';
import { ModelRunner, type Shared } from './model-runner.ts';
import { checkWeightsFit, kvMemoryLimit, onDevice, pagesFor } from './page-memory.ts';
import { createPlan, type Plan } from './plan.ts';
import type { EngineOptions, ModelToLoad } from './protocol.ts';

export class LoadingModel {
  readonly footprint: ModelFootprint;
  readonly limits: ModelLimits;
  readonly #runtime: NativeRuntime;
  readonly #model: ModelToLoad;
  readonly #kvMemory: number | null;
  readonly #steps: StepLimits;
  readonly #plan: Plan;
  readonly #native: NativeModel;

  /** Lays the weights and the scratch of a step out. @throws RedllmError */
  constructor(runtime: NativeRuntime, model: ModelToLoad, options: EngineOptions) {
    this.#runtime = runtime;
    this.#model = model;
    this.#kvMemory = options.kvMemory;
    if (onDevice(runtime)) checkHeads(runtime, model);
    this.footprint = runtime.footprint(model.spec, model.compute);
    this.limits = modelLimits(model, options, this.footprint, kvMemoryLimit(runtime, options.kvMemory));
    this.#steps = stepLimits(this.limits);
    this.#plan = createPlan(this.#steps, planSizes(this.limits, this.footprint));
    checkWeightsFit(runtime, model.name, this.footprint);
    const { free, total } = runtime.memory();
    try {
      this.#native = runtime.load(model.spec, model.compute, model.weights, this.#steps);
    } catch (cause) {
      if (total === 0 || (cause as Error).message !== 'out of memory') throw cause;
      throw new RedllmError(
        'invalid_config',
        `Model '${model.name}' has ${mebibytes(this.footprint.weightBytes)} of weights and the scratch of its steps beside them, for which the ${mebibytes(free)} that are free on ${runtime.device} do not suffice. Lesser max-batch-tokens and max-rows need less.`,
        { param: 'max-batch-tokens', cause },
      );
    }
    try {
      this.#native.bind(this.#plan);
    } catch (error) {
      this.free();
      throw error;
    }
  }

  /** Packs about `bytes` more of the weights. */
  loadSome(bytes: number): { done: number; total: number } {
    return this.#native.loadSome(bytes);
  }

  /**
   * The model with its pages. Nothing but free() may be called if this throws.
   * @param waiting models that are still to get their pages, this one included
   */
  finish(engine: Shared, waiting = 1): ModelRunner {
    const { footprint, limits } = this;
    const pages = pagesFor(this.#runtime, { name: this.#model.name, limits, footprint }, this.#kvMemory, waiting);
    this.#native.reservePages(pages);
    const budget = onDevice(this.#runtime) ? new MemoryBudget(pages * footprint.pageBytes) : engine.budget;
    const parts = { footprint, limits, pages, native: this.#native, plan: this.#plan, steps: this.#steps };
    return new ModelRunner(this.#model, parts, { ...engine, budget });
  }

  free(): void {
    this.#native.free();
  }
}

/** What the kernels of a device ask of heads beyond those of the CPU. @throws RedllmError `unsupported_model` */
function checkHeads({ device }: NativeRuntime, { name, spec }: ModelToLoad): void {
  for (const { self, cross } of [...(spec.encoder?.layers ?? []), ...spec.decoder.layers])
    for (const { headDim } of cross ? [self.block, cross.block] : [self.block])
      if (headDim % 8 !== 0 || headDim > 256)
        throw new RedllmError(
          'unsupported_model',
          `Model '${name}' has heads of ${headDim} elements; on ${device} they must be a multiple of 8, and 256 at most. On the CPU it is served.`,
          { param: 'device' },
        );
}

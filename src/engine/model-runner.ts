/** One model in the engine: its weights, its pages, its queue and running batch, and the plan between them and native code. */
import { performance } from 'node:perf_hooks';
import type { ModelFootprint, NativeModel, NativeRuntime } from '../native.ts';
import { type ModelLimits, maxPages, modelLimits, planSizes, stepLimits } from './limits.ts';
import type { MemoryBudget } from './memory-budget.ts';
import { PageTables } from './page-tables.ts';
import { PagePool } from './pages.ts';
import { createPlan } from './plan.ts';
import { PlanWriter } from './plan-writer.ts';
import type { EngineOptions, ModelStats, ModelToLoad, SequenceEvent } from './protocol.ts';
import { Scheduler } from './scheduler.ts';
import { LiveSources, type SourceStore } from './sources.ts';

export class ModelRunner {
  readonly name: string;
  readonly footprint: ModelFootprint;
  readonly limits: ModelLimits;
  readonly scheduler: Scheduler;
  readonly pool: PagePool;
  readonly #sources: SourceStore;
  readonly #native: NativeModel;
  readonly #writer: PlanWriter;
  #steps = 0;
  #stepTime = 0;
  #encodeStepTime = 0;
  #sourcesEncoded = 0;
  #sourceTokens = 0;

  /**
   * Makes the model and its plan; its weights come with loadSome().
   * @param now milliseconds, as clock.ts has them
   */
  constructor(
    runtime: NativeRuntime,
    model: ModelToLoad,
    options: EngineOptions,
    budget: MemoryBudget,
    now: () => number,
  ) {
    this.name = model.name;
    this.footprint = runtime.footprint(model.spec, model.compute);
    const { groups, pageTokens, pageBytes } = this.footprint;
    const limits = modelLimits(model, options, this.footprint);
    this.limits = limits;
    const steps = stepLimits(limits);
    const plan = createPlan(steps, planSizes(limits, this.footprint));
    this.pool = new PagePool(Math.min(Math.floor(options.kvMemory / pageBytes), maxPages), pageBytes, budget);
    const tables = new PageTables(this.pool, groups, pageTokens);
    this.#sources = new LiveSources(this.pool, groups.filter(group => group.kind === 'cross').length, pageTokens);
    this.scheduler = new Scheduler({ limits, pool: this.pool, tables, sources: this.#sources, now });
    this.#writer = new PlanWriter(plan, model.spec, this.footprint, steps.alternatives);
    this.#native = runtime.load(model.spec, model.compute, model.weights, steps);
    try {
      this.#native.reservePages(this.pool.total);
      this.#native.bind(plan);
    } catch (error) {
      this.#native.free();
      throw error;
    }
  }

  /** Packs about `bytes` more of the weights. */
  loadSome(bytes: number): { done: number; total: number } {
    return this.#native.loadSome(bytes);
  }

  /**
   * One step: schedule, run, take in the results. Launch and collect are apart because a device may run while the next
   * step is planned; on the CPU launch returns when the step is done, so they follow each other here.
   * @returns null where there is nothing to run
   */
  step(): SequenceEvent[] | null {
    const step = this.scheduler.next();
    if (step === null) return null;
    this.#writer.write(step);
    const start = performance.now();
    this.#native.launch();
    this.#native.collect();
    const seconds = (performance.now() - start) / 1000;
    this.#steps++;
    this.#stepTime += seconds;
    if (step.sources.length > 0) this.#encodeStepTime += seconds;
    this.#sourcesEncoded += step.sources.length;
    for (const source of step.sources) this.#sourceTokens += source.tokens.length;
    return this.scheduler.finishStep(this.#writer.read());
  }

  stats(): ModelStats {
    const { total, self, cross } = this.pool.counts();
    return {
      model: this.name,
      waiting: this.scheduler.waiting,
      running: this.scheduler.running,
      pages: { total, self, cross, cachedSelf: 0, cachedCross: 0 },
      encoderQueue: 0,
      preemptions: 0,
      prefixQueries: 0,
      prefixHits: 0,
      ...this.scheduler.totals,
      sourcesEncoded: this.#sourcesEncoded,
      sourceTokens: this.#sourceTokens,
      sourceHits: this.#sources.hits,
      sourceQueries: this.#sources.queries,
      steps: this.#steps,
      stepTime: this.#stepTime,
      encodeStepTime: this.#encodeStepTime,
    };
  }

  /** Releases the weights and the pages; the model is gone. */
  free(): void {
    this.#native.free();
  }

  /** @throws Error where a page, a row or a reservation is left though there is no request */
  checkIdle(): void {
    this.scheduler.checkIdle();
  }
}

/** One model in the engine: its weights, its pages, its queue and running batch, and the plan between them and native code. */
import { performance } from 'node:perf_hooks';
import type { ModelFootprint, NativeModel, StepLimits } from '../native.ts';
import { Caches } from './caches.ts';
import type { FairShare } from './fair-share.ts';
import type { ModelLimits } from './limits.ts';
import type { MemoryBudget } from './memory-budget.ts';
import { PageTables } from './page-tables.ts';
import { PagePool } from './pages.ts';
import type { Plan } from './plan.ts';
import { PlanWriter } from './plan-writer.ts';
import { PrefixCache } from './prefix-cache.ts';
import type { ModelStats, ModelToLoad, SequenceEvent } from './protocol.ts';
import { Scheduler } from './scheduler.ts';
import { SourceCache } from './source-cache.ts';
import type { Step } from './step.ts';

/** What all models of an engine share. */
export interface Shared {
  /** On a device each model has a budget of its own instead. */
  readonly budget: MemoryBudget;
  readonly fairShare: FairShare;
  /** Milliseconds, as clock.ts has them. */
  readonly now: () => number;
}

/** A model whose weights are packed and whose pages are reserved (loading-model.ts). */
export interface ReadyModel {
  readonly footprint: ModelFootprint;
  readonly limits: ModelLimits;
  readonly pages: number;
  readonly native: NativeModel;
  /** Bound to the model, and made for steps within these limits. */
  readonly plan: Plan;
  readonly steps: StepLimits;
}

interface Launched {
  readonly step: Step;
  /** When it was, by performance.now(). */
  readonly start: number;
}

export class ModelRunner {
  readonly name: string;
  readonly footprint: ModelFootprint;
  readonly limits: ModelLimits;
  readonly scheduler: Scheduler;
  readonly pool: PagePool;
  readonly budget: MemoryBudget;
  readonly #caches: Caches;
  readonly #native: NativeModel;
  readonly #writer: PlanWriter;
  /** Steps launched and not collected, oldest first. */
  readonly #underWay: Launched[] = [];
  #steps = 0;
  #stepTime = 0;
  #encodeStepTime = 0;
  #sourcesEncoded = 0;
  #sourceTokens = 0;
  #encodeSteps = 0;
  #encodeRuns = 0;

  constructor(model: ModelToLoad, ready: ReadyModel, engine: Shared) {
    const { budget } = engine;
    const { footprint, limits, plan } = ready;
    const { groups, pageTokens, pageBytes } = footprint;
    this.name = model.name;
    this.footprint = footprint;
    this.limits = limits;
    this.budget = budget;
    this.#native = ready.native;
    this.pool = new PagePool(ready.pages, pageBytes, budget);
    const tables = new PageTables(this.pool, groups, pageTokens);
    const crossGroups = groups.filter(group => group.kind === 'cross').length;
    // A page that a window has passed is gone, so what it would be the prefix of cannot be read again.
    const windowed = groups.some(group => group.window > 0);
    const sources = new SourceCache(this.pool, budget, crossGroups, pageTokens);
    const shared = { pool: this.pool, budget, sources };
    this.#caches = new Caches(
      sources,
      windowed ? null : new PrefixCache(shared, tables.groups, pageTokens, limits.wholePrompts),
    );
    this.scheduler = new Scheduler({
      ...engine,
      limits,
      pool: this.pool,
      tables,
      caches: this.#caches,
      encoderLayers: model.spec.encoder?.layers.length ?? 0,
    });
    this.#writer = new PlanWriter(plan, model.spec, footprint, limits, ready.steps.alternatives);
  }

  /** Plans the next step and starts it. False: there is nothing to run, or not before what is under way is collected. */
  launch(): boolean {
    const step = this.scheduler.next();
    if (step === null) return false;
    this.#writer.write(step);
    this.#underWay.push({ step, start: performance.now() });
    this.#native.launch();
    this.scheduler.launched();
    return true;
  }

  /**
   * Waits for the oldest step under way and takes in its results.
   * @param since when the device had done what it was given before, by performance.now()
   * @returns what it brought, and when the results came
   */
  collect(since: number): { readonly events: SequenceEvent[]; readonly at: number } {
    const { step, start } = this.#underWay.shift()!;
    this.#native.collect();
    const at = performance.now();
    const seconds = (at - Math.max(start, since)) / 1000;
    this.#steps++;
    this.#stepTime += seconds;
    if (step.sources.length > 0) {
      this.#encodeSteps++;
      this.#encodeRuns += step.sources.length;
      this.#encodeStepTime += seconds;
    }
    for (const { source, first } of step.sources) {
      if (first > 0) continue;
      this.#sourcesEncoded++;
      this.#sourceTokens += source.tokens.length;
    }
    return { events: this.scheduler.finishStep(this.#writer), at };
  }

  stats(): ModelStats {
    const { total, self, cross, cachedSelf, cachedCross } = this.pool.counts();
    const { sources, prefixes } = this.#caches;
    return {
      model: this.name,
      waiting: this.scheduler.waiting,
      running: this.scheduler.running,
      pages: { total, self, cross, cachedSelf, cachedCross },
      encoderQueue: this.scheduler.encoderQueue,
      prefixQueries: prefixes?.queries ?? 0,
      prefixHits: prefixes?.hits ?? 0,
      ...this.scheduler.totals,
      sourcesEncoded: this.#sourcesEncoded,
      sourceTokens: this.#sourceTokens,
      encodeSteps: this.#encodeSteps,
      encodeRuns: this.#encodeRuns,
      sourceHits: sources.hits,
      sourceQueries: sources.queries,
      steps: this.#steps,
      stepTime: this.#stepTime,
      encodeStepTime: this.#encodeStepTime,
      multiplyAdds: this.#native.counters(),
    };
  }

  /** Releases the weights and the pages; the model is gone. */
  free(): void {
    this.budget.leave(this.scheduler);
    this.#native.free();
  }

  /** @throws Error where a page, a row or a reservation is left though there is no request */
  checkIdle(): void {
    this.scheduler.checkIdle();
  }
}

/**
 * The engine's loop without its thread: messages in, messages out, one step at a time. worker.ts turns it; a test may turn it by
 * hand. What native code throws in a step is a broken invariant or a lack of memory: after it nothing that the pages hold can
 * be trusted, so the engine is dead: every request fails, and the process is the supervisor's to restart. A model that
 * does not load harms nobody else.
 */
import { now as monotonic } from '../clock.ts';
import type { OpenedRuntime } from '../device.ts';
import { RedllmError, toPlain } from '../errors.ts';
import type { NativeRuntime } from '../native.ts';
import { FairShare } from './fair-share.ts';
import { Launches } from './launches.ts';
import { LoadingModel } from './loading-model.ts';
import { MemoryBudget } from './memory-budget.ts';
import type { ModelRunner, Shared } from './model-runner.ts';
import { cpuKvMemory } from './page-memory.ts';
import type {
  EngineOptions,
  FailureEvent,
  FromWorker,
  ModelToLoad,
  SequenceEvent,
  SubmitMessage,
  ToWorker,
} from './protocol.ts';

export interface LoopPort {
  post(message: FromWorker): void;
  /** The next message, if one has come. Never waits. */
  take(): ToWorker | undefined;
}

/** busy: turn again; idle: wait for a message first; ended: never turn again. */
export type LoopState = 'busy' | 'idle' | 'ended';

/** Weights packed between two looks at the messages. */
const loadBytes = 64 * 2 ** 20;

export class EngineLoop {
  readonly #port: LoopPort;
  readonly #options: EngineOptions;
  readonly #openRuntime: (options: EngineOptions) => OpenedRuntime;
  readonly #shared: Shared;
  readonly #models = new Map<string, ModelRunner>();
  readonly #toLoad: ModelToLoad[] = [];
  #loading: LoadingModel | null = null;
  #runtime: NativeRuntime | null = null;
  #launches = new Launches(false);
  #ended = false;
  #sequences: SequenceEvent[] = [];
  #failures: FailureEvent[] = [];

  /** @param now milliseconds, as clock.ts has them */
  constructor(
    port: LoopPort,
    openRuntime: (options: EngineOptions) => OpenedRuntime,
    options: EngineOptions,
    now: () => number = monotonic,
  ) {
    this.#port = port;
    this.#openRuntime = openRuntime;
    this.#options = options;
    this.#shared = { budget: new MemoryBudget(options.kvMemory ?? cpuKvMemory), fairShare: new FairShare(), now };
  }

  /** Messages, deadlines, a chunk of weights, the results of one step of one model: then one message with all that it brought. */
  turn(): LoopState {
    if (this.#ended) return 'ended';
    try {
      if (this.#runtime === null) this.#start();
      for (let message = this.#port.take(); message !== undefined; message = this.#port.take()) {
        this.#handle(message);
        if (this.#ended) return 'ended';
      }
      this.#expire();
      this.#flush();
      const loaded = this.#loadSome();
      const stepped = this.#step();
      this.#flush();
      if (loaded || stepped) return 'busy';
      this.#checkCounts();
      return 'idle';
    } catch (error) {
      this.#die(error);
      return 'ended';
    }
  }

  /** Milliseconds until the next deadline of any request; null: there is none. */
  untilDeadline(): number | null {
    let next = Number.POSITIVE_INFINITY;
    for (const { scheduler } of this.#models.values()) {
      next = Math.min(next, scheduler.nextDeadline() ?? next);
    }
    return next === Number.POSITIVE_INFINITY ? null : Math.max(0, next - this.#shared.now());
  }

  /** Whenever there is nothing to do: what is held then is lost for good, and who waits would wait for ever. @throws Error */
  #checkCounts(): void {
    for (const { scheduler, budget } of this.#models.values()) {
      scheduler.checkCounts();
      budget.checkIdle();
    }
  }

  /** Everything, one by one. @throws Error where anything is held though there is no request: pages, rows, slots, sources */
  checkIdle(): void {
    for (const model of this.#models.values()) {
      model.checkIdle();
      model.budget.checkIdle();
    }
  }

  #start(): void {
    const { runtime, notice } = this.#openRuntime(this.#options);
    this.#runtime = runtime;
    this.#launches = new Launches(runtime.asynchronous);
    this.#port.post({ type: 'ready', device: runtime.device, threads: runtime.threads, notice });
  }

  #handle(message: ToWorker): void {
    switch (message.type) {
      case 'submit':
        this.#submit(message);
        return;
      case 'load':
        this.#toLoad.push(message.model);
        return;
      case 'cancel':
        for (const { scheduler } of this.#models.values()) {
          this.#sequences.push(...scheduler.cancel(message.id, message.index));
        }
        return;
      case 'stats':
        this.#port.post({ type: 'stats', models: [...this.#models.values()].map(model => model.stats()) });
        return;
      case 'close':
        this.#close();
        return;
    }
  }

  #submit(message: SubmitMessage): void {
    try {
      const model = this.#models.get(message.model);
      if (model === undefined) {
        throw new RedllmError('model_not_found', `There is no model '${message.model}'.`, { param: 'model' });
      }
      model.scheduler.submit(message);
    } catch (error) {
      if (!(error instanceof RedllmError)) throw error;
      this.#failures.push({ id: message.id, error: toPlain(error) });
    }
  }

  #expire(): void {
    for (const { scheduler } of this.#models.values()) {
      for (const id of scheduler.expire()) {
        const error = new RedllmError('deadline_exceeded', 'The request took longer than it was given.');
        this.#failures.push({ id, error: toPlain(error) });
      }
    }
  }

  /** One step of the next model that has something to run; on a device, the one after it is launched first. */
  #step(): boolean {
    const events = this.#launches.turn([...this.#models.values()]);
    for (const event of events ?? []) this.#sequences.push(event);
    return events !== null;
  }

  /** A chunk of the weights of the model that is being loaded; its failure is its own. */
  #loadSome(): boolean {
    const model = this.#toLoad[0];
    if (model === undefined) return false;
    try {
      if (this.#models.has(model.name)) {
        throw new RedllmError('invalid_config', `There are two models named '${model.name}'.`, { param: 'model' });
      }
      this.#loading ??= new LoadingModel(this.#runtime!, model, this.#options);
      const { done, total } = this.#loading.loadSome(loadBytes);
      this.#port.post({ type: 'progress', model: model.name, done, total });
      if (done < total) return true;
      const runner = this.#loading.finish(this.#shared, this.#toLoad.length);
      const { footprint, pool, limits } = runner;
      this.#models.set(model.name, runner);
      const { maxSource, maxTarget } = limits;
      this.#port.post({ type: 'loaded', model: model.name, footprint, pages: pool.total, maxSource, maxTarget });
    } catch (thrown) {
      this.#loading?.free();
      this.#runtime!.memory(); // throws where it is the device that has failed: then nothing else can be trusted either
      const error =
        thrown instanceof RedllmError
          ? thrown
          : new RedllmError('invalid_checkpoint', `The model '${model.name}' could not be loaded: ${reason(thrown)}`);
      this.#port.post({ type: 'load-failed', model: model.name, error: toPlain(error) });
    }
    this.#loading = null;
    this.#toLoad.shift();
    return true;
  }

  #flush(): void {
    const admitted: number[] = [];
    for (const { scheduler } of this.#models.values()) admitted.push(...scheduler.takeAdmitted());
    if (this.#sequences.length === 0 && this.#failures.length === 0 && admitted.length === 0) return;
    this.#port.post({ type: 'events', sequences: this.#sequences, failures: this.#failures, admitted });
    this.#sequences = [];
    this.#failures = [];
  }

  /** Fails what is open, releases everything native, and says so. */
  #close(): void {
    const error = toPlain(new RedllmError('draining', 'The server is shutting down.'));
    for (const { scheduler } of this.#models.values()) {
      for (const { id } of [...scheduler.requests()]) {
        scheduler.cancel(id);
        this.#failures.push({ id, error });
      }
    }
    this.#flush();
    this.#launches.drain();
    this.checkIdle();
    for (const model of this.#models.values()) model.free();
    this.#loading?.free();
    this.#runtime?.free();
    this.#ended = true;
    this.#port.post({ type: 'closed' });
  }

  #die(thrown: unknown): void {
    this.#ended = true;
    const error =
      thrown instanceof RedllmError
        ? thrown
        : new RedllmError('engine_dead', `The engine failed: ${reason(thrown)}`, { cause: thrown });
    this.#port.post({ type: 'dead', error: toPlain(error) });
  }
}

function reason(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/**
 * The engine's policy over native code that does nothing, one step at a call: the model's step alone, or a whole turn of the
 * loop around it, with real messages in and out.
 */
import { performance } from 'node:perf_hooks';
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import { now } from '../../src/clock.ts';
import { FairShare } from '../../src/engine/fair-share.ts';
import { LoadingModel } from '../../src/engine/loading-model.ts';
import { EngineLoop } from '../../src/engine/loop.ts';
import { MemoryBudget } from '../../src/engine/memory-budget.ts';
import type { ModelRunner } from '../../src/engine/model-runner.ts';
import type { EngineOptions, ModelToLoad, SubmitMessage } from '../../src/engine/protocol.ts';
import { WorkerPort } from '../../src/engine/worker-port.ts';
import { NullRuntime } from './null-native.ts';

export abstract class Stepper {
  readonly runtime = new NullRuntime();

  abstract submit(message: SubmitMessage): void;
  /** Everything that is timed. */
  protected abstract run(): void;
  /** What need not be timed, after each run. */
  protected abstract tidy(): void;
  abstract close(): void;

  /** One step. @returns microseconds outside native code */
  step(): number {
    const start = performance.now();
    this.run();
    const whole = performance.now() - start;
    const spent = this.runtime.model.takeSpent();
    this.tidy();
    return (whole - spent) * 1000;
  }
}

/** Plan, write, read, finish: a step of ModelRunner. */
export class RunnerStepper extends Stepper {
  readonly #runner: ModelRunner;

  constructor(model: ModelToLoad, options: EngineOptions) {
    super();
    this.#runner = new LoadingModel(this.runtime, model, options).finish({
      budget: new MemoryBudget(options.kvMemory!),
      fairShare: new FairShare(),
      now,
    });
  }

  submit(message: SubmitMessage): void {
    this.#runner.scheduler.submit(message);
  }

  protected run(): void {
    if (this.#runner.launch()) this.#runner.collect(0);
  }

  protected tidy(): void {
    this.#runner.scheduler.takeAdmitted();
  }

  close(): void {
    this.#runner.free();
  }
}

/** EngineLoop.turn() over a real port: besides the step, messages, deadlines, and the events written for the other thread. */
export class LoopStepper extends Stepper {
  readonly #loop: EngineLoop;
  readonly #port: WorkerPort;
  readonly #far: MessageChannel['port2'];

  constructor(model: ModelToLoad, options: EngineOptions) {
    super();
    const { port1, port2 } = new MessageChannel();
    this.#port = new WorkerPort(port1);
    this.#far = port2;
    this.#loop = new EngineLoop(this.#port, () => ({ runtime: this.runtime, notice: null }), options);
    port2.postMessage({ type: 'load', model });
    while (this.#loop.turn() === 'busy') this.tidy();
  }

  submit(message: SubmitMessage): void {
    this.#far.postMessage(message);
  }

  protected run(): void {
    if (this.#loop.turn() === 'ended') throw new Error('The engine has ended.');
  }

  protected tidy(): void {
    while (receiveMessageOnPort(this.#far) !== undefined);
  }

  close(): void {
    this.#port.close();
  }
}

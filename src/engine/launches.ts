/**
 * Steps of all models that native code was given and whose results are still to come. A device that runs by itself is given the
 * next step before the last one's results are waited for, so that it never waits for the host; one that does not is given one
 * step at a time. It runs them in the order in which they were launched, and they are collected in that order.
 */
import type { ModelRunner } from './model-runner.ts';
import type { SequenceEvent } from './protocol.ts';

export class Launches {
  readonly #most: number;
  /** Whose steps are under way, oldest first. */
  readonly #underWay: ModelRunner[] = [];
  /** Whose turn it is among the models. */
  #turn = 0;
  /** When the last results came, by performance.now(). */
  #lastResults = 0;

  /** @param asynchronous NativeRuntime.asynchronous */
  constructor(asynchronous: boolean) {
    this.#most = asynchronous ? 2 : 1;
  }

  /** Launches what can be launched, a step of one model after the other's, and takes in what the oldest step brought. null: there is none. */
  turn(models: readonly ModelRunner[]): SequenceEvent[] | null {
    while (this.#underWay.length < this.#most && this.#launch(models));
    return this.#collect();
  }

  /** Waits for all that is under way; its results are nobody's any more. */
  drain(): void {
    while (this.#collect() !== null);
  }

  #launch(models: readonly ModelRunner[]): boolean {
    for (let i = 0; i < models.length; i++) {
      this.#turn = (this.#turn + 1) % models.length;
      const model = models[this.#turn]!;
      if (!model.launch()) continue;
      this.#underWay.push(model);
      return true;
    }
    return false;
  }

  #collect(): SequenceEvent[] | null {
    const model = this.#underWay.shift();
    if (model === undefined) return null;
    const { events, at } = model.collect(this.#lastResults);
    this.#lastResults = at;
    return events;
  }
}

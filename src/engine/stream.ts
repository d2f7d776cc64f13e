/** What one request brings, as its submitter reads it. */
import type { RedllmError } from '../errors.ts';
import type { SequenceEvent } from './protocol.ts';

/**
 * The events of all n sequences of a request, for one reader. Iterating gives every event in order, ends after each
 * sequence's `finish`, and throws a RedllmError where the request failed. Leaving the loop early cancels the request.
 * Events wait here for a slow reader, at most maxTokens a sequence: the running batch never waits for it.
 */
export class SequenceStream implements AsyncIterableIterator<SequenceEvent> {
  readonly id: number;
  readonly #cancel: (index?: number) => void;
  #events: SequenceEvent[] = [];
  #unfinished: number;
  #error: RedllmError | null = null;
  #wake: (() => void) | null = null;

  constructor(id: number, n: number, cancel: (index?: number) => void) {
    this.id = id;
    this.#unfinished = n;
    this.#cancel = cancel;
  }

  /** Whether nothing more will come; events may still wait to be read. */
  get ended(): boolean {
    return this.#unfinished === 0 || this.#error !== null;
  }

  /**
   * Ends the request, or one of its sequences, before the next step. What is ended says so by an event with finish
   * `cancelled`, after which its pages are free. Without effect on what has ended.
   */
  cancel(index?: number): void {
    if (!this.ended) this.#cancel(index);
  }

  async next(): Promise<IteratorResult<SequenceEvent, undefined>> {
    while (this.#events.length === 0) {
      if (this.#error !== null) throw this.#error;
      if (this.#unfinished === 0) return { done: true, value: undefined };
      await new Promise<void>(resolve => {
        this.#wake = resolve;
      });
    }
    return { done: false, value: this.#events.shift()! };
  }

  async return(): Promise<IteratorResult<SequenceEvent, undefined>> {
    this.cancel();
    this.#events = [];
    this.#unfinished = 0;
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** For the engine's handle: one more event. */
  push(event: SequenceEvent): void {
    if (this.ended) return;
    this.#events.push(event);
    if (event.finish !== undefined) this.#unfinished--;
    this.#wakeUp();
  }

  /** For the engine's handle: the request failed. Events that came before are still read first. */
  fail(error: RedllmError): void {
    if (this.ended) return;
    this.#error = error;
    this.#wakeUp();
  }

  #wakeUp(): void {
    this.#wake?.();
    this.#wake = null;
  }
}

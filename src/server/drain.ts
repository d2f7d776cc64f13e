/** The requests at work, and how the server comes to its end: no new ones, time for the running ones, then an end to all. */
import { setMaxListeners } from 'node:events';
import { RedllmError } from '../errors.ts';

/** One request at work. */
export interface Ticket {
  /** Aborted by cancel() or at the end of the drain; its reason is a RedllmError. */
  readonly signal: AbortSignal;
  cancel(reason: RedllmError): void;
  /** To be called once, when the request has ended in whatever way. */
  leave(): void;
}

export class Drain {
  readonly #running = new Set<AbortController>();
  readonly #retryAfter: number;
  readonly #whenBegun = new Set<() => void>();
  readonly #whenIdle: (() => void)[] = [];
  draining = false;

  /** @param retryAfter seconds that a refused client is told to wait */
  constructor(retryAfter: number) {
    this.#retryAfter = retryAfter;
  }

  get running(): number {
    return this.#running.size;
  }

  /** Calls back when draining begins; returns how to call that off. */
  onBegin(listener: () => void): () => void {
    this.#whenBegun.add(listener);
    return () => this.#whenBegun.delete(listener);
  }

  refusal(): RedllmError {
    return new RedllmError(
      'draining',
      'The server is shutting down; send the request to another one or try again later.',
      {
        retryAfter: this.#retryAfter,
      },
    );
  }

  /** @throws RedllmError `draining` */
  enter(): Ticket {
    if (this.draining) throw this.refusal();
    const controller = new AbortController();
    // Each prompt of a request listens to it.
    setMaxListeners(0, controller.signal);
    this.#running.add(controller);
    return {
      signal: controller.signal,
      cancel: reason => controller.abort(reason),
      leave: () => {
        this.#running.delete(controller);
        if (this.#running.size === 0) for (const listener of this.#whenIdle.splice(0)) listener();
      },
    };
  }

  /** Refuses new requests from now on, waits for the running ones up to `timeout` ms, and cancels those that are left. */
  async drain(timeout: number): Promise<void> {
    if (!this.draining) {
      this.draining = true;
      for (const listener of this.#whenBegun) listener();
    }
    if (await this.#idle(timeout)) return;
    for (const controller of this.#running) controller.abort(this.refusal());
    // What was cancelled still has to say so to its client.
    await this.#idle(1000);
  }

  #idle(timeout: number): Promise<boolean> {
    if (this.#running.size === 0) return Promise.resolve(true);
    return new Promise(resolve => {
      const timer = setTimeout(() => resolve(false), timeout);
      this.#whenIdle.push(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }
}

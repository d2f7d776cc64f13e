/** What waits for its first step, as the engine's handle knows it, and whether more may. */
import { RedllmError } from '../errors.ts';
import type { EngineOptions } from './protocol.ts';

/** What a request is to the queue. */
export interface Load {
  readonly model: string;
  /** Rows that it takes when it runs. */
  readonly rows: number;
  /** Of its source and prompt. */
  readonly tokens: number;
}

interface Entry {
  readonly load: Load;
  /** Rows that it still takes. */
  rows: number;
  waits: boolean;
  /** Whether it had to queue: when it came, its rows were not free. */
  readonly queued: boolean;
}

type Bounds = Pick<EngineOptions, 'maxRows' | 'maxBatchTokens' | 'maxQueue' | 'maxQueueTokens'>;

/**
 * A request for which there are rows when it comes does not count as queued, though it waits until the step in progress is over:
 * so a burst that all starts with the next step is not refused. Its tokens do count, as they are work that waits.
 */
export class Backlog {
  readonly #bounds: Bounds;
  readonly #entries = new Map<number, Entry>();
  /** Rows that the open requests of each model take or will take. */
  readonly #rows = new Map<string, number>();
  #waiting = 0;
  #queued = 0;
  #tokens = 0;

  constructor(bounds: Bounds) {
    this.#bounds = bounds;
  }

  /** Requests that wait for their first step. */
  get waiting(): number {
    return this.#waiting;
  }

  /**
   * @param secondsFor what so many requests take, in seconds
   * @throws RedllmError `queue_full`, with retryAfter, where such a request may not wait now
   */
  check(load: Load, secondsFor: (requests: number) => number): void {
    const { maxQueue, maxQueueTokens } = this.#bounds;
    if (this.#queued >= maxQueue && !this.#hasRows(load)) {
      throw new RedllmError('queue_full', `${this.#queued} requests are waiting already; try again later.`, {
        retryAfter: secondsFor(this.#waiting),
      });
    }
    // One alone may always wait: else a long one could never be served.
    if (this.#waiting > 0 && this.#tokens + load.tokens > maxQueueTokens) {
      throw new RedllmError(
        'queue_full',
        `${this.#waiting} requests with ${this.#tokens} tokens are waiting already; try again later.`,
        { retryAfter: secondsFor(this.#waiting) },
      );
    }
  }

  enter(id: number, load: Load): void {
    const queued = !this.#hasRows(load);
    this.#entries.set(id, { load, rows: load.rows, waits: true, queued });
    this.#rows.set(load.model, this.#rowsOf(load.model) + load.rows);
    this.#waiting++;
    this.#tokens += load.tokens;
    if (queued) this.#queued++;
  }

  /** It has left the queue for the running batch. */
  start(id: number): void {
    const entry = this.#entries.get(id);
    if (!entry?.waits) return;
    entry.waits = false;
    this.#waiting--;
    this.#tokens -= entry.load.tokens;
    if (entry.queued) this.#queued--;
  }

  /** One of its answers has ended. */
  freeRow(id: number): void {
    const entry = this.#entries.get(id);
    if (entry !== undefined && entry.rows > 0) this.#freeRows(entry, 1);
  }

  /** It has ended, in whatever way. */
  leave(id: number): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.start(id);
    this.#entries.delete(id);
    this.#freeRows(entry, entry.rows);
  }

  #freeRows(entry: Entry, rows: number): void {
    entry.rows -= rows;
    this.#rows.set(entry.load.model, this.#rowsOf(entry.load.model) - rows);
  }

  #hasRows({ model, rows }: Load): boolean {
    const { maxRows, maxBatchTokens } = this.#bounds;
    return this.#rowsOf(model) + rows <= Math.min(maxRows, maxBatchTokens);
  }

  #rowsOf(model: string): number {
    return this.#rows.get(model) ?? 0;
  }
}

/** The running batch: the requests that were admitted, in the order of their turns, and what each of their rows holds. */
import type { Caches } from './caches.ts';
import type { PageTables } from './page-tables.ts';
import { RequestLine } from './request-line.ts';
import type { Request, Sequence } from './sequence.ts';

export class Batch {
  readonly requests = new RequestLine();
  readonly #capacity: number;
  readonly #tables: PageTables;
  readonly #caches: Caches;
  /** Slots of histories for penalties: one for each row that there can be. */
  readonly #freeSlots: number[];
  #rows = 0;

  /** @param capacity rows that there can be at a time */
  constructor(capacity: number, tables: PageTables, caches: Caches) {
    this.#capacity = capacity;
    this.#tables = tables;
    this.#caches = caches;
    this.#freeSlots = Array.from({ length: capacity }, (_, i) => capacity - 1 - i);
  }

  /** Sequences that have not finished. */
  get rows(): number {
    return this.#rows;
  }

  hasRoom(rows: number): boolean {
    return this.#rows + rows <= this.#capacity;
  }

  /** A request joins, with those of its sequences that have not finished. @returns whether its source is here already */
  join(request: Request): { readonly sourceHit: boolean } {
    for (const sequence of request.sequences) {
      if (sequence.finish !== null) continue;
      if (request.penalties) sequence.slot = this.#freeSlots.pop()!;
      this.#rows++;
    }
    request.admitted = true;
    this.requests.add(request);
    if (request.sourceKey === null) return { sourceHit: false };
    const { source, hit } = this.#caches.sources.acquire(request.sourceKey);
    request.source = source;
    return { sourceHit: hit };
  }

  /**
   * Takes back everything that a row has; the pages that it filled are the cache's to keep. A launch under way may still read and
   * write them: whoever is given them next does so in a later one.
   */
  release(sequence: Sequence): void {
    this.#caches.prefixes?.extend(sequence);
    this.#caches.prefixes?.detach(sequence);
    this.#tables.release(sequence);
    sequence.attached = false;
    sequence.cacheable = true;
    if (sequence.slot >= 0) this.#freeSlots.push(sequence.slot);
    sequence.slot = -1;
    sequence.historySet = false;
    sequence.unknown = 0;
    sequence.life++;
    this.#rows--;
  }

  /** A request whose rows have been released leaves. */
  leave(request: Request): void {
    this.requests.remove(request);
    if (request.source !== null) this.#caches.sources.release(request.source);
    request.source = null;
    request.admitted = false;
  }

  /** @throws Error where anything of a request is left */
  checkIdle(): void {
    const [running, slots] = [this.requests.length, this.#freeSlots.length];
    if (running + this.#rows !== 0 || slots !== this.#capacity)
      throw new Error(`batch: ${running} running, ${this.#rows} rows, ${slots} free slots, though idle`);
  }
}

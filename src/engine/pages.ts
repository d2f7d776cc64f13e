/**
 * The K/V pages of one model: one pool for self and cross attention, with no split between them. A page is free, or counted
 * by as many references as tables name it; it is written only by its first owner.
 */
import type { MemoryBudget } from './memory-budget.ts';

export type PageUse = 'self' | 'cross';

export interface PageCounts {
  readonly total: number;
  readonly free: number;
  readonly self: number;
  readonly cross: number;
}

export class PagePool {
  /** Pages that the model has addresses for. */
  readonly total: number;
  readonly pageBytes: number;
  readonly #budget: MemoryBudget;
  readonly #references: Int32Array;
  /** 1 where a page in use is a cross page. */
  readonly #cross: Uint8Array;
  /** A stack of released pages. They are used again first: pages from #untouched on have never cost any memory. */
  readonly #free: Int32Array;
  #released = 0;
  #untouched = 0;
  #crossCount = 0;
  #reserved = 0;

  constructor(total: number, pageBytes: number, budget: MemoryBudget) {
    this.total = total;
    this.pageBytes = pageBytes;
    this.#budget = budget;
    this.#references = new Int32Array(total);
    this.#cross = new Uint8Array(total);
    this.#free = new Int32Array(total);
  }

  /** The most pages that one request could ever be given: the pool's own, or what the shared limit holds. */
  get capacity(): number {
    return Math.min(this.total, Math.floor(this.#budget.limit / this.pageBytes));
  }

  /** Pages promised to admitted requests; they are allocated one by one as they are needed. */
  get reserved(): number {
    return this.#reserved;
  }

  counts(): PageCounts {
    const free = this.#freeCount();
    return { total: this.total, free, self: this.total - free - this.#crossCount, cross: this.#crossCount };
  }

  #freeCount(): number {
    return this.#released + this.total - this.#untouched;
  }

  /** How many tables name this page. 0: it is free. */
  references(page: number): number {
    return this.#references[page]!;
  }

  /** Promises pages to a request, all or none. `order` is its place in the line of all models' requests. */
  reserve(pages: number, order: number): boolean {
    if (this.#reserved + pages > this.total) return false;
    if (!this.#budget.promise(pages * this.pageBytes, this, order)) return false;
    this.#reserved += pages;
    return true;
  }

  /** To be called when a request that reserve() refused goes away. */
  withdraw(): void {
    this.#budget.withdraw(this);
  }

  unreserve(pages: number): void {
    this.#reserved -= pages;
    if (this.#reserved < 0) throw new Error('page pool: more reservations given back than taken');
    this.#budget.takeBack(pages * this.pageBytes);
  }

  /** Takes free pages, each with one reference; null, and nothing taken, where pages or memory do not suffice. */
  allocate(count: number, use: PageUse): number[] | null {
    if (count > this.#freeCount() || !this.#budget.use(count * this.pageBytes)) return null;
    const pages = new Array<number>(count);
    for (let i = 0; i < count; i++) {
      const page = this.#released > 0 ? this.#free[--this.#released]! : this.#untouched++;
      this.#references[page] = 1;
      this.#cross[page] = use === 'cross' ? 1 : 0;
      pages[i] = page;
    }
    if (use === 'cross') this.#crossCount += count;
    return pages;
  }

  /** One more table names this page. */
  share(page: number): void {
    if (this.#references[page] === undefined || this.#references[page] === 0) {
      throw new Error(`page pool: page ${page} is shared though it is free`);
    }
    this.#references[page]!++;
  }

  /** One table less names this page; the last one frees it. */
  release(page: number): void {
    const references = this.#references[page];
    if (references === undefined || references === 0)
      throw new Error(`page pool: page ${page} is released though it is free`);
    this.#references[page] = references - 1;
    if (references > 1) return;
    if (this.#cross[page] === 1) this.#crossCount--;
    this.#free[this.#released++] = page;
    this.#budget.free(this.pageBytes);
  }

  /** @throws Error where a page is neither free nor counted, or is both, or where the counts are wrong. */
  check(): void {
    const free = new Uint8Array(this.total).fill(1, this.#untouched);
    for (let i = 0; i < this.#released; i++) {
      const page = this.#free[i]!;
      if (free[page] === 1) throw new Error(`page pool: page ${page} is twice in the free list`);
      free[page] = 1;
    }
    let cross = 0;
    for (let page = 0; page < this.total; page++) {
      const references = this.#references[page]!;
      if (references < 0 || references > 0 === (free[page] === 1)) {
        throw new Error(
          `page pool: page ${page} has ${references} references and is ${free[page] === 1 ? '' : 'not '}free`,
        );
      }
      if (references > 0 && this.#cross[page] === 1) cross++;
    }
    if (cross !== this.#crossCount)
      throw new Error(`page pool: ${cross} cross pages, but ${this.#crossCount} are counted`);
  }

  /** @throws Error where a page or a reservation is still held. */
  checkIdle(): void {
    this.check();
    const { self, cross } = this.counts();
    if (self !== 0 || cross !== 0 || this.#reserved !== 0) {
      throw new Error(
        `page pool: ${self} self and ${cross} cross pages and ${this.#reserved} reservations, though idle`,
      );
    }
  }
}

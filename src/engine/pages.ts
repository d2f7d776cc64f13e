/**
 * The K/V pages of one model: one pool for self and cross attention, with no split between them. A page is free, or counted
 * by as many references as tables and caches name it; those of caches are *holds*: a page that has no others is *cached*.
 */
import type { Turn } from './fair-share.ts';
import type { MemoryBudget } from './memory-budget.ts';

export type PageUse = 'self' | 'cross';

export interface PageCounts {
  readonly total: number;
  readonly free: number;
  /** Neither free nor cross, cached ones included; likewise cross. */
  readonly self: number;
  readonly cross: number;
  readonly cachedSelf: number;
  readonly cachedCross: number;
}

export class PagePool {
  /** Pages that the model has addresses for. */
  readonly total: number;
  readonly pageBytes: number;
  readonly #budget: MemoryBudget;
  /** Holds included. */
  readonly #references: Int32Array;
  readonly #holds: Uint8Array;
  /** 1 where a page in use is a cross page. */
  readonly #cross: Uint8Array;
  /** A stack of released pages. They are used again first: pages from #untouched on have never cost any memory. */
  readonly #free: Int32Array;
  #released = 0;
  #untouched = 0;
  #crossCount = 0;
  #cachedSelf = 0;
  #cachedCross = 0;

  constructor(total: number, pageBytes: number, budget: MemoryBudget) {
    this.total = total;
    this.pageBytes = pageBytes;
    this.#budget = budget;
    this.#references = new Int32Array(total);
    this.#holds = new Uint8Array(total);
    this.#cross = new Uint8Array(total);
    this.#free = new Int32Array(total);
  }

  /** The most pages that one request could ever be given: the pool's own, or what the shared limit holds. */
  get capacity(): number {
    return Math.min(this.total, Math.floor(this.#budget.limit / this.pageBytes));
  }

  /** Pages that only caches name. */
  get cached(): number {
    return this.#cachedSelf + this.#cachedCross;
  }

  counts(): PageCounts {
    const free = this.#released + this.total - this.#untouched;
    return {
      total: this.total,
      free,
      self: this.total - free - this.#crossCount,
      cross: this.#crossCount,
      cachedSelf: this.#cachedSelf,
      cachedCross: this.#cachedCross,
    };
  }

  /** How many tables and caches name this page. 0: it is free. */
  references(page: number): number {
    return this.#references[page]!;
  }

  /**
   * Takes free pages, each with one reference, making room by `turn` where there is none (MemoryBudget.use).
   * @returns null, and nothing taken, where there is no memory for all of them
   */
  allocate(count: number, use: PageUse, turn: Turn): number[] | null {
    if (!this.#budget.use(count * this.pageBytes, turn)) return null;
    if (count > this.#released + this.total - this.#untouched) {
      this.#budget.free(count * this.pageBytes);
      return null;
    }
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
    const references = this.#counted(page, 'shared');
    if (references === this.#holds[page]) this.#countCached(page, -1);
    this.#references[page] = references + 1;
  }

  /** One table less names this page; the last one frees it, unless a cache holds it. */
  release(page: number): void {
    const references = this.#counted(page, 'released');
    const holds = this.#holds[page]!;
    if (references === holds)
      throw new Error(`page pool: page ${page} is released by a table, but only caches name it`);
    this.#references[page] = references - 1;
    if (references > 1) {
      if (references - 1 === holds) this.#countCached(page, 1);
      return;
    }
    this.#freePage(page);
  }

  /** One more cache entry names this page, which a table names, too. */
  hold(page: number): void {
    const references = this.#counted(page, 'held');
    this.#holds[page]!++;
    this.#references[page] = references + 1;
  }

  /** One cache entry less names this page. */
  unhold(page: number): void {
    const references = this.#counted(page, 'let go');
    const holds = this.#holds[page]!;
    if (holds === 0) throw new Error(`page pool: page ${page} is let go though no cache holds it`);
    if (references === holds && holds === 1) this.#countCached(page, -1);
    this.#holds[page] = holds - 1;
    this.#references[page] = references - 1;
    if (references === 1) this.#freePage(page);
  }

  #counted(page: number, verb: string): number {
    const references = this.#references[page];
    if (references === undefined || references === 0)
      throw new Error(`page pool: page ${page} is ${verb} though it is free`);
    return references;
  }

  #countCached(page: number, by: number): void {
    if (this.#cross[page] === 1) this.#cachedCross += by;
    else this.#cachedSelf += by;
  }

  #freePage(page: number): void {
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
    const counted = { cross: 0, cachedSelf: 0, cachedCross: 0 };
    for (let page = 0; page < this.total; page++) {
      const references = this.#references[page]!;
      const holds = this.#holds[page]!;
      if (references < 0 || references > 0 === (free[page] === 1) || holds > references) {
        throw new Error(
          `page pool: page ${page} has ${references} references, ${holds} of them of caches, and is ${free[page] === 1 ? '' : 'not '}free`,
        );
      }
      if (references === 0) continue;
      const cross = this.#cross[page] === 1;
      if (cross) counted.cross++;
      if (references === holds) counted[cross ? 'cachedCross' : 'cachedSelf']++;
    }
    const { cross, cachedSelf, cachedCross } = this.counts();
    if (cross !== counted.cross || cachedSelf !== counted.cachedSelf || cachedCross !== counted.cachedCross) {
      const said = JSON.stringify({ cross, cachedSelf, cachedCross });
      throw new Error(`page pool: the counts are ${said}, but there are ${JSON.stringify(counted)}`);
    }
  }

  /** By the counts alone, in constant time. @throws Error where a page is neither free nor cached */
  checkUnused(): void {
    const { self, cross, cachedSelf, cachedCross } = this.counts();
    if (self !== cachedSelf || cross !== cachedCross) {
      throw new Error(
        `page pool: ${self - cachedSelf} self and ${cross - cachedCross} cross pages are in use, though idle`,
      );
    }
  }

  /** Page by page. @throws Error where a page is neither free nor cached, or anything is wrong with the counts */
  checkIdle(): void {
    this.check();
    this.checkUnused();
  }
}

/** The self page tables of sequences: grown token by token, forked, and cut behind where a group's window has passed. */
import type { PageGroup } from '../native.ts';
import type { PagePool } from './pages.ts';
import type { Request, Sequence } from './sequence.ts';

/** A page to copy before a step runs, on behalf of a request; `from` is referenced until the step is done. */
export interface PageCopy {
  readonly request: Request;
  readonly from: number;
  readonly to: number;
}

const empty = new Int32Array(0);

export class PageTables {
  readonly #pool: PagePool;
  /** The self groups alone. */
  readonly #groups: readonly PageGroup[];
  readonly #pageTokens: number;

  /** Self groups. */
  get groups(): number {
    return this.#groups.length;
  }

  constructor(pool: PagePool, groups: readonly PageGroup[], pageTokens: number) {
    this.#pool = pool;
    this.#groups = groups.filter(group => group.kind === 'self');
    this.#pageTokens = pageTokens;
  }

  /** The most pages that a sequence of `tokens` tokens ever holds at a time, if no step computes more than `chunk` of them. */
  worstCase(tokens: number, chunk: number): number {
    const whole = Math.ceil(tokens / this.#pageTokens);
    let pages = 0;
    for (const { window } of this.#groups) {
      const seen = Math.floor((window + chunk - 1) / this.#pageTokens) + 2;
      pages += window === 0 ? whole : Math.min(whole, seen);
    }
    return pages;
  }

  /**
   * Makes room for tokens [start, end), start being the next to compute; first frees what no query from start on sees.
   * @param copies gets the page that is to be copied before the step, if the sequence writes in one that is not its own
   * @returns false, and the sequence as it was, where there is no memory for it
   */
  grow(sequence: Sequence, start: number, end: number, copies: PageCopy[]): boolean {
    const needed = Math.ceil(end / this.#pageTokens);
    let missing = 0;
    for (let group = 0; group < this.#groups.length; group++) {
      const table = sequence.tables[group] ?? empty;
      const { window } = this.#groups[group]!;
      if (window > 0) this.#freeBefore(table, Math.floor((start - window) / this.#pageTokens));
      missing += Math.max(0, needed - table.length);
    }
    if (missing === 0) return true;
    const pages = this.#pool.allocate(missing, 'self', sequence.request.turn);
    if (pages === null) return false;
    const { copyFrom } = sequence;
    sequence.copyFrom = null;
    let taken = 0;
    for (let group = 0; group < this.#groups.length; group++) {
      const table = sequence.tables[group] ?? empty;
      // Made anew once a page of tokens, so that a plan takes it in one copy each step.
      const grown = new Int32Array(needed);
      grown.set(table);
      for (let i = table.length; i < needed; i++) grown[i] = pages[taken++]!;
      sequence.tables[group] = grown;
      if (copyFrom) copies.push({ request: sequence.request, from: copyFrom[group]!, to: grown[table.length]! });
    }
    return true;
  }

  /** Gives `child`, which has no pages, the same tokens as `parent` has in pages of its own: whole pages are shared, a partly filled one is to be copied. */
  fork(parent: Sequence, child: Sequence): void {
    const whole = Math.floor(parent.computed / this.#pageTokens);
    const partial = parent.computed % this.#pageTokens !== 0;
    child.computed = parent.computed;
    child.copyFrom = null;
    for (let group = 0; group < this.#groups.length; group++) {
      const table = parent.tables[group] ?? empty;
      child.tables[group] = table.slice(0, whole);
      for (const page of child.tables[group]!) if (page !== -1) this.#pool.share(page);
    }
    if (!partial) return;
    child.copyFrom = Int32Array.from(parent.tables, table => table[whole]!);
    for (const page of child.copyFrom) this.#pool.share(page);
  }

  /** A step has made these copies, or never will: their first pages are no longer needed for it. */
  copied(copies: readonly PageCopy[]): void {
    for (const { from } of copies) this.#pool.release(from);
  }

  /** Frees the pages before table entry `entry`: those not yet freed lie together at its left. */
  #freeBefore(table: Int32Array, entry: number): void {
    for (let i = Math.min(entry, table.length) - 1; i >= 0 && table[i] !== -1; i--) {
      this.#pool.release(table[i]!);
      table[i] = -1;
    }
  }

  release(sequence: Sequence): void {
    for (const table of sequence.tables) for (const page of table) if (page !== -1) this.#pool.release(page);
    for (const page of sequence.copyFrom ?? empty) this.#pool.release(page);
    sequence.copyFrom = null;
    sequence.tables.length = 0;
    sequence.computed = 0;
  }
}

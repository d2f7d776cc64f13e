/** The self page tables of sequences: grown token by token, and cut behind where a group's window has passed. */
import type { PageGroup } from '../native.ts';
import type { PagePool } from './pages.ts';
import type { Sequence } from './sequence.ts';

const empty = new Int32Array(0);

export class PageTables {
  readonly #pool: PagePool;
  /** The self groups alone. */
  readonly #groups: readonly PageGroup[];
  readonly #pageTokens: number;

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

  /** Makes room for tokens [start, end), start being the next to compute; first frees what no query from start on sees. */
  grow(sequence: Sequence, start: number, end: number): void {
    for (let group = 0; group < this.#groups.length; group++) {
      const table = sequence.tables[group] ?? empty;
      const { window } = this.#groups[group]!;
      if (window > 0) this.#freeBefore(table, Math.floor((start - window) / this.#pageTokens));
      const missing = Math.ceil(end / this.#pageTokens) - table.length;
      if (missing <= 0) continue;
      const pages = this.#pool.allocate(missing, 'self');
      if (pages === null) throw new Error('no page for a running row, though its pages were reserved');
      // Made anew once a page of tokens, so that a plan takes it in one copy each step.
      const grown = new Int32Array(table.length + missing);
      grown.set(table);
      grown.set(pages, table.length);
      sequence.tables[group] = grown;
    }
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
    sequence.tables.length = 0;
    sequence.computed = 0;
  }
}

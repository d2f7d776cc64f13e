/** The way from the queue into the running batch, and what has gone it. */
import type { Batch } from './batch.ts';
import type { Caches } from './caches.ts';
import type { FairShare } from './fair-share.ts';
import { type ModelLimits, sequencePages } from './limits.ts';
import type { MemoryBudget, MemoryOwner } from './memory-budget.ts';
import type { PageTables } from './page-tables.ts';
import type { PagePool } from './pages.ts';
import type { RequestLine } from './request-line.ts';
import type { Request, Sequence } from './sequence.ts';

export interface AdmissionParts {
  readonly limits: ModelLimits;
  readonly budget: MemoryBudget;
  /** Of the budget. */
  readonly owner: MemoryOwner;
  readonly pool: PagePool;
  readonly tables: PageTables;
  readonly caches: Caches;
  readonly fairShare: FairShare;
  readonly waiting: RequestLine;
  readonly batch: Batch;
}

export class Admission {
  readonly #parts: AdmissionParts;
  #admitted: number[] = [];
  #promptTokens = 0;

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
  }

  /** Prompt and source tokens of all that were admitted. */
  get promptTokens(): number {
    return this.#promptTokens;
  }

  /** Ids of the requests admitted since the last call. */
  takeAdmitted(): number[] {
    const admitted = this.#admitted;
    if (admitted.length > 0) this.#admitted = [];
    return admitted;
  }

  /** Moves the head of the queue into the running batch, if there are rows and, as far as can be seen, memory for it. */
  admit(request: Request): boolean {
    const { pool, budget, owner, fairShare, waiting, batch } = this.#parts;
    const live = request.sequences.filter(sequence => sequence.finish === null);
    if (!batch.hasRoom(live.length)) return false;
    if (!budget.admits(this.#pagesToBegin(request, live) * pool.pageBytes, owner, request.turn)) return false;
    waiting.remove(request);
    const { sourceHit } = batch.join(request);
    fairShare.advance(request.turn, request.priority);
    if (request.preempted) return true;
    const { id, prompt, source } = request;
    if (sourceHit) request.cachedTokens += source!.tokens.length;
    this.#admitted.push(id);
    this.#promptTokens += prompt.length + (source?.tokens.length ?? 0);
    return true;
  }

  /** Pages of its source and of what its rows compute first, and a page for each row that runs, which may need one next. */
  #pagesToBegin(request: Request, live: readonly Sequence[]): number {
    const { limits, caches, tables, batch } = this.#parts;
    const { sourceKey: key } = request;
    const isNew = key !== null && caches.sources.find(key) === undefined;
    let pages = isNew ? caches.sources.pagesFor(key.tokens.length) : 0;
    for (const { length, dormant } of live) if (!dormant) pages += sequencePages(length, 0, limits, tables);
    return pages + batch.rows * tables.groups;
  }
}

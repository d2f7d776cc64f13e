/** What of an admitted request runs in a step: rows that decode, and what is left to compute before they do. */
import type { Caches } from './caches.ts';
import type { EncoderRuns } from './encoder-runs.ts';
import type { ModelLimits } from './limits.ts';
import type { PageTables } from './page-tables.ts';
import { type RowKind, stretchAt } from './row-kind.ts';
import { firstQueryNeeded, scoresOf, tokensWithin } from './scoring.ts';
import type { Request, Sequence } from './sequence.ts';
import type { Step } from './step.ts';

export interface RowPlannerParts {
  readonly limits: ModelLimits;
  readonly tables: PageTables;
  readonly caches: Caches;
  readonly encoder: EncoderRuns;
  readonly now: () => number;
}

export class RowPlanner {
  readonly #parts: RowPlannerParts;

  constructor(parts: RowPlannerParts) {
    this.#parts = parts;
  }

  /** Plans its rows that decode. False: there is no memory for one of them, and nobody of a later turn to take it from. */
  decode(step: Step, request: Request): boolean {
    if (request.beams !== null && !request.beams.ready) return true;
    for (const sequence of request.sequences) {
      if (sequence.finish !== null || sequence.dormant || !sequence.decoding) continue;
      if (!this.#addRow(step, sequence, 1, 'decode')) return false;
    }
    return true;
  }

  /** Plans what a request has left to do before it decodes. False: not all of it fits, so nothing behind it may run. */
  fill(step: Step, request: Request): boolean {
    const { limits, now } = this.#parts;
    if (request.source !== null && !request.source.encoded) {
      const planned = this.#parts.encoder.plan(step, request);
      if (planned !== 'none') request.started ??= now();
      if (planned !== 'whole') return false;
    }
    for (const sequence of request.sequences) {
      const { finish, dormant, decoding } = sequence;
      if (finish !== null || dormant || decoding || this.#waitsForLeader(sequence)) continue;
      this.#attach(sequence);
      // Beams decode together: one that is computed anew waits before its last token for the others.
      const left = sequence.pending - (request.beams !== null && sequence.made > 0 ? 1 : 0);
      // What follows a prompt that is computed anew runs in the next step: it is of the other kind.
      const { kind, end } = stretchAt(sequence, sequence.computed, limits.wholePrompts);
      const due = Math.min(left, end - sequence.computed);
      if (due === 0) continue;
      // What sees each other is computed whole; what follows it can be cut.
      const prefix = limits.wholePrompts ? Math.max(0, request.prefix - sequence.computed) : 0;
      if (prefix > 0 && !step.fitsWhole(prefix)) return false;
      const wanted = Math.max(prefix, Math.min(due, step.left));
      const count = tokensWithin(sequence, wanted, step.scores);
      if (count <= 0 || count < prefix || !this.#addRow(step, sequence, count, kind)) return false;
      step.filling = true;
      if (count < due) return false;
    }
    return true;
  }

  /**
   * Answers of one request share its prompt's pages: one computes them, the others then begin behind them. A prompt that has not
   * filled a page is computed by each of them in the same step, which is sooner than in the next.
   */
  #waitsForLeader(sequence: Sequence): boolean {
    const { request } = sequence;
    if (request.sequences.length === 1 || sequence.attached || sequence.made > 0) return false;
    if (this.#parts.caches.prefixes === null || request.prompt.length <= this.#parts.limits.pageTokens) return false;
    const leader = request.sequences.find(({ finish }) => finish === null)!;
    return leader !== sequence && leader.made === 0;
  }

  #attach(sequence: Sequence): void {
    if (sequence.attached) return;
    sequence.attached = true;
    const { request } = sequence;
    const { prefixes } = this.#parts.caches;
    if (prefixes === null || !sequence.cacheable) return;
    prefixes.attach(sequence, firstQueryNeeded(sequence));
    if (!request.reported && sequence.index === 0 && !request.preempted) request.cachedTokens += sequence.computed;
  }

  /** False: there is no memory for it. */
  #addRow(step: Step, sequence: Sequence, count: number, kind: RowKind): boolean {
    const { tables, now } = this.#parts;
    const start = sequence.computed;
    const sampled = start + count === sequence.length;
    const scored = sequence.request.scored > 0 ? scoresOf(sequence, start, count) : 0;
    const history = sampled && sequence.slot >= 0 && !sequence.historySet ? sequence.length : 0;
    if (history > step.histories) return false;
    if (!tables.grow(sequence, start, start + count, step.copies)) {
      this.#withoutCopy(sequence);
      return false;
    }
    step.histories -= history;
    step.left -= count;
    step.scores -= scored;
    step.rows.push({ sequence, life: sequence.life, kind, start, count, sampled, scored });
    if (sampled && sequence.request.needsTokens) step.awaited = true;
    sequence.request.started ??= now();
    return true;
  }

  /** What was shared for copying pins a page that nobody could evict: without memory for both, it is computed anew. */
  #withoutCopy(sequence: Sequence): void {
    if (sequence.copyFrom === null) return;
    this.#parts.caches.prefixes?.detach(sequence);
    this.#parts.tables.release(sequence);
    sequence.cacheable = false;
  }
}

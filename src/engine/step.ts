/** One step: what it runs, and while it is in the making what it still has room for. */
import type { EncoderRun } from './encoder-runs.ts';
import { historyTokens, type ModelLimits } from './limits.ts';
import type { PageCopy } from './page-tables.ts';
import type { PrefixCache } from './prefix-cache.ts';
import type { RowKind } from './row-kind.ts';
import type { Request, Sequence } from './sequence.ts';

export interface StepRow {
  readonly sequence: Sequence;
  /** The sequence's, when it was planned. */
  readonly life: number;
  /** Of all its tokens. */
  readonly kind: RowKind;
  /** Its tokens [start, start + count) are computed in this step. */
  readonly start: number;
  readonly count: number;
  /** Whether the last of them is followed by a new token. */
  readonly sampled: boolean;
  /** Scores that its tokens give: samples that come before that of the new token. */
  readonly scored: number;
}

export class Step {
  readonly sources: EncoderRun[] = [];
  readonly rows: StepRow[] = [];
  /** Pages to copy before anything else runs. */
  readonly copies: PageCopy[] = [];
  /** Room for tokens; below 0 after something that could not be cut. */
  left: number;
  /** Room for scores. */
  scores: number;
  /** Room for tokens of histories to set. */
  histories: number;
  /** Whether anything but decode rows is planned. */
  filling = false;
  /** Whether it samples for a row that needs the token itself to go on: the next step is planned when it is known. */
  awaited = false;

  constructor(limits: ModelLimits) {
    this.left = limits.batchTokens;
    this.scores = limits.scores;
    this.histories = historyTokens(limits);
  }

  get empty(): boolean {
    return this.rows.length === 0 && this.sources.length === 0;
  }

  /** Whether work that cannot be cut may join: it fits, or it would be alone beside the decode rows. */
  fitsWhole(tokens: number): boolean {
    return tokens <= this.left || !this.filling;
  }

  /** Puts its rows in the order of a plan: by kind; then by source, as attention reads its keys once for rows that stand side by side. */
  arrange(): void {
    let before = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < this.rows.length; i++) {
      const place = placeOf(this.rows[i]!);
      if (place < before) {
        this.rows.sort((a, b) => placeOf(a) - placeOf(b));
        return;
      }
      before = place;
    }
  }

  /** Its rows are as they are once it is done, but for the tokens that it chooses. */
  launched(prefixes: PrefixCache | null): void {
    let sample = 0;
    for (const { sequence, start, count, sampled, scored } of this.rows) {
      sequence.computed += count;
      // Prompts are shared as soon as they are there; answers, which cost a decode step the time, when they leave (batch.ts).
      if (start < sequence.request.prompt.length) prefixes?.extend(sequence);
      sample += scored;
      if (!sampled) continue;
      sequence.unknown++;
      sequence.sample = sample++;
    }
  }

  /**
   * Takes out what it was to run for a request that has left the batch, in place: whoever asked for its memory is adding to the
   * step. What it took of the room is not given back.
   * @returns the copies that are not going to be made
   */
  remove(request: Request): PageCopy[] {
    filter(this.rows, ({ sequence }) => sequence.request !== request);
    filter(this.sources, ({ source }) => source.readers > 0);
    return filter(this.copies, copy => copy.request !== request);
  }
}

function placeOf({ kind, sequence }: StepRow): number {
  return (sequence.request.source?.order ?? -1) + (kind === 'decode' ? 0 : 2 ** 40);
}

/** Keeps those that are wanted, in place. @returns the others */
function filter<T>(list: T[], wanted: (item: T) => boolean): T[] {
  const others = list.filter(item => !wanted(item));
  if (others.length > 0) list.splice(0, list.length, ...list.filter(wanted));
  return others;
}

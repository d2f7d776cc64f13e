/**
 * Which rows run in a step, and what becomes of what they sampled. No I/O and no clock of its own: three calls a step: next(),
 * launched(), finishStep().
 *
 * A step may be planned before the one before it is finished: all but the tokens that a step chooses is certain once it is
 * launched, and where such a token comes next the plan says which sample it is. A row that turns out to have no business there
 * (its sequence ended with that token, or was cancelled or preempted since) is thrown away when the step is finished. What it
 * had may be given to others at once, as launches run in order: who gets it reads and writes it in a later one.
 *
 * Order: every decoding row first, one token each; then, in the order of their turns (fair-share.ts), what admitted requests have
 * left to compute before they decode, and waiting requests as long as tokens, rows and memory last. What does not fit holds
 * up what stands behind it, so that nothing starves. A step is therefore never longer than its decode rows and `batchTokens`
 * other tokens, or one layer of the longest source (and its cross keys and values, with the last), or one prompt that cannot be cut:
 * that bounds the gap between two tokens of a running row.
 *
 * Memory: pages are taken as they are needed. Where there are none, caches give theirs up, then requests of later turns
 * are preempted: all their pages are released, they wait again at their old place, and are computed anew, to the same bits
 * (docs/architecture.md). The rows of a request come and go together.
 */
import { Admission } from './admission.ts';
import { Batch } from './batch.ts';
import type { BeamGroup } from './beam-group.ts';
import type { Caches } from './caches.ts';
import { EncoderRuns } from './encoder-runs.ts';
import type { FairShare, Turn } from './fair-share.ts';
import type { ModelLimits } from './limits.ts';
import type { MemoryBudget, MemoryOwner } from './memory-budget.ts';
import { OpenRequests } from './open-requests.ts';
import type { PageTables } from './page-tables.ts';
import type { PagePool } from './pages.ts';
import { type FinishReason, rowsOf, type SequenceEvent, type SubmitMessage } from './protocol.ts';
import { checkRequest } from './request-check.ts';
import { RowPlanner } from './row-planner.ts';
import { Request, type Sequence } from './sequence.ts';
import { cancelledEvent, type SampleResults, scoreEvent, tokenEvent } from './sequence-events.ts';
import { Step } from './step.ts';

export interface SchedulerParts {
  readonly limits: ModelLimits;
  readonly budget: MemoryBudget;
  readonly pool: PagePool;
  readonly tables: PageTables;
  readonly caches: Caches;
  readonly fairShare: FairShare;
  readonly encoderLayers: number;
  /** Milliseconds, as clock.ts has them: deadlines are measured by it. */
  readonly now: () => number;
}

export class Scheduler implements MemoryOwner {
  readonly #parts: SchedulerParts;
  readonly #open = new OpenRequests();
  readonly #batch: Batch;
  readonly #admission: Admission;
  readonly #encoder: EncoderRuns;
  readonly #rows: RowPlanner;
  /** The step that is being planned. */
  #step: Step | null = null;
  /** Those that were launched and are not finished, oldest first. */
  readonly #underWay: Step[] = [];
  #generatedTokens = 0;
  #preemptions = 0;

  constructor(parts: SchedulerParts) {
    this.#parts = parts;
    this.#batch = new Batch(parts.limits.rows, parts.tables, parts.caches);
    this.#admission = new Admission({ ...parts, owner: this, waiting: this.#open.waiting, batch: this.#batch });
    this.#encoder = new EncoderRuns(parts.caches.sources, parts.encoderLayers);
    this.#rows = new RowPlanner({ ...parts, encoder: this.#encoder });
    parts.budget.join(this);
  }

  get waiting(): number {
    return this.#open.waiting.length;
  }

  get running(): number {
    return this.#batch.requests.length;
  }

  get hasWork(): boolean {
    return this.#open.count > 0;
  }

  /** Sources of admitted requests that are still to be encoded. */
  get encoderQueue(): number {
    const sources = new Set([...this.#batch.requests].map(({ source }) => source));
    return [...sources].filter(source => source !== null && !source.encoded).length;
  }

  /** Since the beginning: prompt and source tokens of admitted requests, tokens generated, requests taken back. */
  get totals(): { promptTokens: number; generatedTokens: number; preemptions: number } {
    return {
      promptTokens: this.#admission.promptTokens,
      generatedTokens: this.#generatedTokens,
      preemptions: this.#preemptions,
    };
  }

  /** Every request that is not finished, in the order in which they came. */
  requests(): Iterable<Request> {
    return this.#open.all();
  }

  /** @throws RedllmError where the request could never run */
  submit(message: SubmitMessage): void {
    const { limits, pool, tables, caches, fairShare, now } = this.#parts;
    checkRequest(message, limits, {
      tables,
      sources: caches.sources,
      capacity: pool.capacity,
      pageBytes: pool.pageBytes,
    });
    const { id, client, source, prompt, params, priority } = message;
    const work = (source?.length ?? 0) + prompt.length + rowsOf(message) * params.maxTokens;
    const request = new Request(message, fairShare.turnOf(id, client, work, priority), now());
    this.#open.add(request);
  }

  /** Ids of the requests admitted since the last call. */
  takeAdmitted(): number[] {
    return this.#admission.takeAdmitted();
  }

  // ---- a step -------------------------------------------------------------------------------------------------------------

  /** The next step, or null where nothing can run before what is under way is finished. After it, launched() is called before anything else. */
  next(): Step | null {
    for (const { awaited } of this.#underWay) if (awaited) return null;
    // Planning may itself change what is left to do: a beam that finds all its tokens cached is ready to decode, one that has no memory
    // for a copy is to be computed anew. Where nothing else came of it, that is planned now.
    return this.#plan() ?? (this.running > 0 ? this.#plan() : null);
  }

  #plan(): Step | null {
    const { limits, tables } = this.#parts;
    const { requests } = this.#batch;
    const step = new Step(limits);
    this.#step = step;
    // Rows whose turn is last give way to the others, so what is preempted stands behind what is planned.
    for (let i = 0; i < requests.length; i++) {
      const request = requests.at(i)!;
      // Where it is its own turn to give way, nobody stands behind it.
      if (!this.#rows.decode(step, request)) this.#preempt(request);
    }
    this.#encoder.planBegun(step);
    let fits = true;
    // With nothing but decode rows, which is most steps, nobody has anything left to compute.
    const filled = step.rows.length === this.#batch.rows;
    for (let i = 0; i < requests.length && fits && !filled; i++) fits = this.#rows.fill(step, requests.at(i)!);
    while (fits && this.#open.waiting.first !== undefined && (step.left > 0 || !step.filling)) {
      const request = this.#open.waiting.first;
      fits = this.#admission.admit(request) && this.#rows.fill(step, request);
    }
    step.arrange();
    if (step.empty) {
      tables.copied(step.copies);
      this.#step = null;
    }
    return this.#step;
  }

  /** The planned step was launched: what comes after it may count on all that it does. */
  launched(): void {
    const { caches, tables } = this.#parts;
    const step = this.#step;
    if (step === null) throw new Error('scheduler: a step was launched that was not planned');
    this.#step = null;
    this.#underWay.push(step);
    this.#encoder.finish(step.sources);
    tables.copied(step.copies);
    step.launched(caches.prefixes);
  }

  /** Takes in what the samples of the oldest step under way gave, in the plan's order. @returns events for the requests' owners */
  finishStep(results: SampleResults): SequenceEvent[] {
    const { now } = this.#parts;
    const step = this.#underWay.shift();
    if (step === undefined) throw new Error('scheduler: a step is finished that was not launched');
    const events: SequenceEvent[] = [];
    let next = 0;
    for (const { sequence, life, sampled, scored } of step.rows) {
      const first = next;
      next += scored + (sampled ? 1 : 0);
      if (sequence.life !== life) continue;
      if (scored > 0) {
        const samples = { first, count: scored };
        events.push(this.#finishing(sequence, scoreEvent(sequence, results, samples, now)));
      }
      if (!sampled) continue;
      const sample = first + scored;
      const { beams } = sequence.request;
      sequence.unknown--;
      if (beams === null) events.push(this.#finishing(sequence, tokenEvent(sequence, results, sample, now)));
      else if (beams.take(sequence, results, sample)) this.#advance(sequence.request, beams, events);
      this.#generatedTokens++;
    }
    return events;
  }

  #advance(request: Request, beams: BeamGroup, events: SequenceEvent[]): void {
    const { tables, caches, now } = this.#parts;
    const brought = beams.advance(tables, caches.prefixes, now);
    events.push(...brought);
    const { finish } = brought[0] ?? {};
    if (finish === undefined) return;
    for (const sequence of request.sequences) this.#finish(sequence, finish);
  }

  /** The event; where it says that the sequence ends, that is so when this returns. */
  #finishing(sequence: Sequence, event: SequenceEvent): SequenceEvent {
    if (event.finish !== undefined) this.#finish(sequence, event.finish);
    return event;
  }

  // ---- coming and going ---------------------------------------------------------------------------------------------------

  /** Ends a request, or one of its answers (all of them where they are beams'); its pages are free or cached when this returns. */
  cancel(id: number, index?: number): SequenceEvent[] {
    const request = this.#open.get(id);
    if (request === undefined) return [];
    const { now } = this.#parts;
    if (request.beams !== null) {
      // No hypothesis can be ended without the others.
      for (const sequence of request.sequences) this.#finish(sequence, 'cancelled');
      return Array.from({ length: request.answers }, (_, answer) => cancelledEvent(request, answer, now));
    }
    const events: SequenceEvent[] = [];
    for (const sequence of request.sequences) {
      if (sequence.finish !== null || (index !== undefined && index !== sequence.index)) continue;
      events.push(this.#finishing(sequence, cancelledEvent(request, sequence.index, now)));
    }
    return events;
  }

  /** Ends the requests whose deadline is over. @returns their ids */
  expire(): number[] {
    const late: number[] = [];
    if (this.nextDeadline() === null) return late;
    const now = this.#parts.now();
    for (let request = this.#open.firstLate(now); request !== null; request = this.#open.firstLate(now)) {
      late.push(request.id);
      this.cancel(request.id);
    }
    return late;
  }

  /** In milliseconds of the engine's clock; null: no request has one. */
  nextDeadline(): number | null {
    return this.#open.nextDeadline();
  }

  #finish(sequence: Sequence, reason: FinishReason): void {
    const { request } = sequence;
    sequence.finish = reason;
    if (request.admitted) this.#batch.release(sequence);
    if (!request.finished) return;
    this.#parts.fairShare.giveBack(request.client, request.unused);
    if (this.#open.waiting.first === request) this.#parts.budget.withdraw(this);
    this.#open.forget(request);
    if (request.admitted) this.#batch.leave(request);
  }

  // ---- memory -------------------------------------------------------------------------------------------------------------

  #preempt(request: Request): void {
    for (const sequence of request.sequences) if (sequence.finish === null) this.#batch.release(sequence);
    this.#batch.leave(request);
    request.preempted = true;
    this.#open.waiting.add(request);
    this.#preemptions++;
    if (this.#step !== null) this.#parts.tables.copied(this.#step.remove(request));
  }

  lastTurn(): Turn | null {
    return this.#batch.requests.last?.turn ?? null;
  }

  preemptLast(): void {
    const { last } = this.#batch.requests;
    if (last !== undefined) this.#preempt(last);
  }

  cachedBytes(): number {
    return this.#parts.pool.cached * this.#parts.pool.pageBytes;
  }

  oldestCached(): number | null {
    return this.#parts.caches.oldest();
  }

  evict(): void {
    this.#parts.caches.evict();
  }

  /** By the counts alone, in constant time. @throws Error where anything is left of requests that are gone */
  checkCounts(): void {
    const { waiting } = this;
    if (this.hasWork || waiting !== 0) throw new Error(`scheduler: ${waiting} waiting, though idle`);
    this.#batch.checkIdle();
    this.#parts.pool.checkUnused();
  }

  /** Everything there is, one by one. @throws Error where anything is left of requests that are gone */
  checkIdle(): void {
    this.checkCounts();
    this.#parts.caches.checkIdle();
    this.#parts.pool.checkIdle();
  }
}

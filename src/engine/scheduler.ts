/**
 * Which rows run in a step, and what becomes of what they sampled. No I/O and no clock of its own: three calls a step: next(),
 * the step itself, finishStep().
 *
 * Order: every decoding row first, one token each; then, in the order of their turns (fair-share.ts), what admitted requests have
 * left to compute before they decode, and waiting requests as long as tokens, rows and memory last. What does not fit holds
 * up what stands behind it, so that nothing starves. A step is therefore never longer than its decode rows and `batchTokens`
 * other tokens, or one layer of the longest source, or one prompt that cannot be cut: that bounds the gap between two tokens
 * of a running row.
 *
 * Memory: pages are taken as they are needed. Where there are none, caches give theirs up, then requests of later turns
 * are preempted: all their pages are released, they wait again at their old place, and are computed anew, to the same bits
 * (docs/architecture.md). The rows of a request come and go together.
 */
import { Deadlines } from './deadlines.ts';
import { type EncoderRun, EncoderRuns } from './encoder-runs.ts';
import type { FairShare, Turn } from './fair-share.ts';
import { checkRequest, historyTokens, type ModelLimits, sequencePages } from './limits.ts';
import type { MemoryBudget, MemoryOwner } from './memory-budget.ts';
import type { PageCopy, PageTables } from './page-tables.ts';
import type { PagePool } from './pages.ts';
import type { PrefixCache } from './prefix-cache.ts';
import type { FinishReason, SequenceEvent, SubmitMessage, TokenLogprobs } from './protocol.ts';
import { RequestLine } from './request-line.ts';
import { firstQueryNeeded, scoresOf, tokensWithin } from './scoring.ts';
import { Request, type Sequence } from './sequence.ts';
import type { SourceCache } from './source-cache.ts';

export interface StepRow {
  readonly sequence: Sequence;
  /** Its tokens [start, start + count) are computed in this step. */
  readonly start: number;
  readonly count: number;
  /** Whether the last of them is followed by a new token. */
  readonly sampled: boolean;
  /** Scores that its tokens give: samples that come before that of the new token. */
  readonly scored: number;
}

export interface StepPlan {
  readonly sources: EncoderRun[];
  readonly rows: StepRow[];
  /** Pages to copy before anything else runs. */
  readonly copies: PageCopy[];
}

/** What one sample gave; in the order of the plan's samples: row by row, the scores before the new token. */
export interface SampleResult {
  readonly token: number;
  readonly logprobs?: TokenLogprobs;
}

/** What a step in the making still has room for. */
export interface Room {
  /** Tokens; below 0 after something that could not be cut. */
  left: number;
  /** Score samples. */
  scores: number;
  /** Whether anything but decode rows is planned. */
  filling: boolean;
  /** Tokens of histories to set. */
  histories: number;
}

export interface SchedulerParts {
  readonly limits: ModelLimits;
  readonly budget: MemoryBudget;
  readonly pool: PagePool;
  readonly tables: PageTables;
  readonly sources: SourceCache;
  /** null: no page of this model can be used again by another row. */
  readonly prefixes: PrefixCache | null;
  readonly fairShare: FairShare;
  readonly encoderLayers: number;
  /** Milliseconds, as clock.ts has them: deadlines are measured by it. */
  readonly now: () => number;
}

export class Scheduler implements MemoryOwner {
  readonly #parts: SchedulerParts;
  readonly #byId = new Map<number, Request>();
  readonly #waiting = new RequestLine();
  readonly #running = new RequestLine();
  readonly #deadlines = new Deadlines();
  readonly #encoder: EncoderRuns;
  #runningRows = 0;
  readonly #freeSlots: number[];
  #admitted: number[] = [];
  /** The step that is being planned, or under way. */
  #step: StepPlan | null = null;
  #promptTokens = 0;
  #generatedTokens = 0;
  #preemptions = 0;

  constructor(parts: SchedulerParts) {
    this.#parts = parts;
    this.#encoder = new EncoderRuns(parts.sources, parts.encoderLayers);
    this.#freeSlots = Array.from({ length: parts.limits.rows }, (_, i) => parts.limits.rows - 1 - i);
    parts.budget.join(this);
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  get running(): number {
    return this.#running.length;
  }

  get hasWork(): boolean {
    return this.#byId.size > 0;
  }

  /** Sources of admitted requests that are still to be encoded. */
  get encoderQueue(): number {
    const sources = new Set([...this.#running].map(({ source }) => source));
    return [...sources].filter(source => source !== null && !source.encoded).length;
  }

  /** Since the beginning: prompt and source tokens of admitted requests, tokens generated, requests taken back. */
  get totals(): { promptTokens: number; generatedTokens: number; preemptions: number } {
    return {
      promptTokens: this.#promptTokens,
      generatedTokens: this.#generatedTokens,
      preemptions: this.#preemptions,
    };
  }

  /** Every request that is not finished, in the order in which they came. */
  requests(): Iterable<Request> {
    return this.#byId.values();
  }

  /** @throws RedllmError where the request could never run */
  submit(message: SubmitMessage): void {
    const { limits, pool, tables, sources, fairShare, now } = this.#parts;
    checkRequest(message, limits, { tables, sources, capacity: pool.capacity, pageBytes: pool.pageBytes });
    const { id, client, source, prompt, n, params, priority } = message;
    const work = (source?.length ?? 0) + prompt.length + n * params.maxTokens;
    const request = new Request(message, fairShare.turnOf(id, client, work, priority), now());
    this.#byId.set(id, request);
    this.#waiting.add(request);
    this.#deadlines.add(request);
  }

  /** Ids of the requests admitted since the last call. */
  takeAdmitted(): number[] {
    const admitted = this.#admitted;
    if (admitted.length > 0) this.#admitted = [];
    return admitted;
  }

  // ---- a step -------------------------------------------------------------------------------------------------------------

  /** The next step, or null where nothing can run. After it, finishStep() must be called before anything else. */
  next(): StepPlan | null {
    const { limits } = this.#parts;
    const step: StepPlan = { sources: [], rows: [], copies: [] };
    this.#step = step;
    const room: Room = {
      left: limits.batchTokens,
      scores: limits.scores,
      filling: false,
      histories: historyTokens(limits),
    };
    // Rows whose turn is last give way to the others, so what is preempted stands behind what is planned.
    for (let i = 0; i < this.#running.length; i++) this.#decode(step, room, this.#running.at(i)!);
    this.#encoder.planBegun(step, room);
    let blocked = false;
    for (let i = 0; i < this.#running.length && !blocked; i++) blocked = !this.#fill(step, room, this.#running.at(i)!);
    while (!blocked && this.#waiting.length > 0 && (room.left > 0 || !room.filling)) {
      const request = this.#waiting.first!;
      if (!this.#admit(request) || !this.#fill(step, room, request)) break;
    }
    // Attention reads the keys of a source once for rows that stand side by side.
    if (limits.encoder) step.rows.sort((a, b) => sourceOf(a) - sourceOf(b));
    if (step.rows.length === 0 && step.sources.length === 0) {
      this.#parts.tables.copied(step.copies);
      this.#step = null;
    }
    return this.#step;
  }

  #decode(step: StepPlan, room: Room, request: Request): void {
    for (const sequence of request.sequences) {
      if (sequence.finish !== null || !sequence.decoding) continue;
      if (this.#addRow(step, room, sequence, 1)) continue;
      // It is its own turn to give way.
      this.#preempt(request);
      return;
    }
  }

  /** Plans what a request has left to do before it decodes. False: not all of it fits, so nothing behind it may run. */
  #fill(step: StepPlan, room: Room, request: Request): boolean {
    const { limits, now } = this.#parts;
    if (request.source !== null && !request.source.encoded) {
      const planned = this.#encoder.plan(step, room, request);
      if (planned !== 'none') request.started ??= now();
      if (planned !== 'whole') return false;
    }
    for (const sequence of request.sequences) {
      if (sequence.finish !== null || sequence.decoding || this.#waitsForLeader(sequence)) continue;
      this.#attach(sequence);
      if (sequence.pending === 0) continue;
      // What sees each other is computed whole; what follows it can be cut.
      const prefix = limits.wholePrompts ? Math.max(0, request.prefix - sequence.computed) : 0;
      if (prefix > 0 && !fitsWhole(room, prefix)) return false;
      const wanted = Math.max(prefix, Math.min(sequence.pending, room.left));
      const count = tokensWithin(sequence, wanted, room.scores);
      if (count <= 0 || count < prefix || !this.#addRow(step, room, sequence, count)) return false;
      room.filling = true;
      if (count < sequence.pending) return false;
    }
    return true;
  }

  /** Answers of one request share its prompt's pages: one computes them, the others then begin behind them. */
  #waitsForLeader(sequence: Sequence): boolean {
    const { request } = sequence;
    if (request.sequences.length === 1 || sequence.attached || sequence.generated.length > 0) return false;
    if (this.#parts.prefixes === null || request.prompt.length <= this.#parts.limits.pageTokens) return false;
    const leader = request.sequences.find(({ finish }) => finish === null)!;
    return leader !== sequence && leader.generated.length === 0;
  }

  #attach(sequence: Sequence): void {
    if (sequence.attached) return;
    sequence.attached = true;
    const { request } = sequence;
    const { prefixes } = this.#parts;
    if (prefixes === null || !sequence.cacheable) return;
    prefixes.attach(sequence, request.scored > 0 ? firstQueryNeeded(request) : sequence.length - 1);
    if (!request.reported && sequence.index === 0 && !request.preempted) request.cachedTokens += sequence.computed;
  }

  /** False: there is no memory for it. */
  #addRow(step: StepPlan, room: Room, sequence: Sequence, count: number): boolean {
    const { tables, now } = this.#parts;
    const start = sequence.computed;
    const sampled = start + count === sequence.length;
    const scored = scoresOf(sequence, start, count);
    const history = sampled && sequence.slot >= 0 && !sequence.historySet ? sequence.length : 0;
    if (history > room.histories) return false;
    if (!tables.grow(sequence, start, start + count, step.copies)) {
      this.#withoutCopy(sequence);
      return false;
    }
    room.histories -= history;
    room.left -= count;
    room.scores -= scored;
    step.rows.push({ sequence, start, count, sampled, scored });
    sequence.request.started ??= now();
    return true;
  }

  /** What was shared for copying pins a page that nobody could evict: without memory for both, it is computed anew. */
  #withoutCopy(sequence: Sequence): void {
    if (sequence.copyFrom === null) return;
    this.#parts.prefixes?.detach(sequence);
    this.#parts.tables.release(sequence);
    sequence.cacheable = false;
  }

  /** Takes in what the step's samples gave, in the plan's order. @returns events for the requests' owners */
  finishStep(results: readonly SampleResult[]): SequenceEvent[] {
    const step = this.#step;
    if (step === null) throw new Error('scheduler: a step is finished that was not planned');
    this.#step = null;
    this.#encoder.finish(step.sources);
    this.#parts.tables.copied(step.copies);
    const events: SequenceEvent[] = [];
    let sample = 0;
    for (const { sequence, count, sampled, scored } of step.rows) {
      sequence.computed += count;
      if (sequence.cacheable) this.#parts.prefixes?.extend(sequence);
      if (scored > 0) events.push(this.#takeScores(sequence, results.slice(sample, sample + scored)));
      sample += scored;
      if (!sampled) continue;
      const result = results[sample++];
      if (result === undefined) throw new Error('scheduler: a sampled row has no result');
      events.push(this.#take(sequence, result));
    }
    return events;
  }

  #takeScores(sequence: Sequence, results: readonly SampleResult[]): SequenceEvent {
    const { request } = sequence;
    sequence.scoresReported += results.length;
    const done = request.params.maxTokens === 0 && sequence.scoresReported === request.scored;
    const event: SequenceEvent = {
      id: request.id,
      index: sequence.index,
      tokens: [],
      scores: results.map(({ logprobs }) => logprobs!),
      ...(done && { finish: 'length' }),
      ...this.#firstEvent(request),
    };
    if (done) this.#finish(sequence, 'length');
    return event;
  }

  #take(sequence: Sequence, result: SampleResult): SequenceEvent {
    const { request } = sequence;
    const { token, logprobs } = result;
    sequence.generated.push(token);
    this.#generatedTokens++;
    const full = sequence.generated.length >= request.params.maxTokens;
    // An end token that was forced because the answer is full is no stop: the answer was cut.
    const stopped = request.stopTokens.has(token) && !(full && request.params.forcedLast !== null);
    const gained = {
      id: request.id,
      index: sequence.index,
      tokens: [token],
      ...(logprobs && { logprobs: [logprobs] }),
    };
    if (!stopped && !full && request.reported) return gained;
    const event: SequenceEvent = {
      ...gained,
      ...((stopped || full) && { finish: stopped ? 'stop' : 'length' }),
      ...(stopped && !request.params.endTokens.includes(token) && { stopToken: token }),
      ...this.#firstEvent(request),
    };
    if (event.finish) this.#finish(sequence, event.finish);
    return event;
  }

  /** What the first event of a request says besides. */
  #firstEvent(request: Request): { cachedTokens?: number; queueTime?: number } {
    if (request.reported) return {};
    request.reported = true;
    const started = request.started ?? this.#parts.now();
    return { cachedTokens: request.cachedTokens, queueTime: Math.max(0, started - request.arrival) / 1000 };
  }

  // ---- coming and going ---------------------------------------------------------------------------------------------------

  /** Moves the head of the queue into the running batch, if there are rows and, as far as can be seen, memory for it. */
  #admit(request: Request): boolean {
    const { limits, pool, sources, budget, fairShare } = this.#parts;
    const live = request.sequences.filter(sequence => sequence.finish === null);
    if (this.#runningRows + live.length > limits.rows) return false;
    if (!budget.admits(this.#pagesToBegin(request, live) * pool.pageBytes, this, request.turn)) return false;
    for (const sequence of live) if (request.penalties) sequence.slot = this.#freeSlots.pop()!;
    if (request.sourceTokens !== null) {
      const { source, hit } = sources.acquire(request.sourceTokens, request.cacheSalt);
      request.source = source;
      if (hit && !request.preempted) request.cachedTokens += source.tokens.length;
    }
    request.admitted = true;
    this.#waiting.remove(request);
    this.#running.add(request);
    this.#runningRows += live.length;
    fairShare.advance(request.turn, request.priority);
    if (request.preempted) return true;
    this.#admitted.push(request.id);
    this.#promptTokens += request.prompt.length + (request.sourceTokens?.length ?? 0);
    return true;
  }

  /** Pages of its source and of what its rows compute first, and a page for each row that runs, which may need one next. */
  #pagesToBegin(request: Request, live: readonly Sequence[]): number {
    const { limits, sources, tables } = this.#parts;
    const { sourceTokens, cacheSalt } = request;
    const isNew = sourceTokens !== null && sources.find(sourceTokens, cacheSalt) === undefined;
    let pages = isNew ? sources.pagesFor(sourceTokens.length) : 0;
    for (const { length } of live) pages += sequencePages(length, 0, limits, tables);
    return pages + (this.#runningRows > 0 ? this.#runningRows * tables.groups : 0);
  }

  /** Ends a request, or one of its sequences, between steps; its pages are free or cached when this returns. */
  cancel(id: number, index?: number): SequenceEvent[] {
    const request = this.#byId.get(id);
    if (request === undefined) return [];
    const events: SequenceEvent[] = [];
    for (const sequence of request.sequences) {
      if (sequence.finish !== null || (index !== undefined && index !== sequence.index)) continue;
      events.push({ id, index: sequence.index, tokens: [], finish: 'cancelled', ...this.#firstEvent(request) });
      this.#finish(sequence, 'cancelled');
    }
    return events;
  }

  /** Ends the requests whose deadline is over. @returns their ids */
  expire(): number[] {
    const late: number[] = [];
    if (this.nextDeadline() === null) return late;
    const now = this.#parts.now();
    for (let request = this.#deadlines.takeLate(now); request !== null; request = this.#deadlines.takeLate(now)) {
      late.push(request.id);
      this.cancel(request.id);
    }
    return late;
  }

  /** In milliseconds of the engine's clock; null: no request has one. */
  nextDeadline(): number | null {
    return this.#deadlines.next();
  }

  #finish(sequence: Sequence, reason: FinishReason): void {
    const { request } = sequence;
    sequence.finish = reason;
    if (request.admitted) this.#release(sequence);
    if (!request.finished) return;
    this.#byId.delete(request.id);
    if (!request.admitted) {
      if (this.#waiting.first === request) this.#parts.budget.withdraw(this);
      this.#waiting.remove(request);
      return;
    }
    this.#leave(request);
  }

  /** Gives back everything that a row of the batch has. */
  #release(sequence: Sequence): void {
    this.#parts.prefixes?.detach(sequence);
    this.#parts.tables.release(sequence);
    sequence.attached = false;
    if (sequence.slot >= 0) this.#freeSlots.push(sequence.slot);
    sequence.slot = -1;
    sequence.historySet = false;
    this.#runningRows--;
  }

  /** Takes a request, whose rows have been released, out of the running batch. */
  #leave(request: Request): void {
    this.#running.remove(request);
    if (request.source !== null) this.#parts.sources.release(request.source);
    request.source = null;
    request.admitted = false;
  }

  // ---- memory -------------------------------------------------------------------------------------------------------------

  #preempt(request: Request): void {
    const step = this.#step;
    if (step !== null) this.#unplan(step, request);
    for (const sequence of request.sequences) if (sequence.finish === null) this.#release(sequence);
    this.#leave(request);
    request.preempted = true;
    this.#waiting.add(request);
    this.#preemptions++;
    if (step !== null) remove(step.sources, ({ source }) => source.readers === 0);
  }

  /** Takes a request's rows out of the step that is being planned, in place: whoever asked for memory is adding to it. */
  #unplan(step: StepPlan, request: Request): void {
    remove(step.rows, ({ sequence }) => sequence.request === request);
    this.#parts.tables.copied(remove(step.copies, copy => copy.request === request));
  }

  lastTurn(): Turn | null {
    return this.#running.last?.turn ?? null;
  }

  preemptLast(): void {
    const last = this.#running.last;
    if (last !== undefined) this.#preempt(last);
  }

  cachedBytes(): number {
    return this.#parts.pool.cached * this.#parts.pool.pageBytes;
  }

  oldestCached(): number | null {
    const { sources, prefixes } = this.#parts;
    const source = sources.oldest()?.lastUse ?? Number.POSITIVE_INFINITY;
    const prefix = prefixes?.oldest() ?? Number.POSITIVE_INFINITY;
    const oldest = Math.min(source, prefix);
    return oldest === Number.POSITIVE_INFINITY ? null : oldest;
  }

  evict(): void {
    const { sources, prefixes } = this.#parts;
    const source = sources.oldest();
    if (source === null || (prefixes?.oldest() ?? Number.POSITIVE_INFINITY) < source.lastUse) {
      prefixes?.evict();
      return;
    }
    prefixes?.evictSource(source);
    sources.evict();
  }

  /** @throws Error where anything is left of requests that are gone */
  checkIdle(): void {
    const { limits, sources, prefixes, pool } = this.#parts;
    const { waiting, running } = this;
    if (this.hasWork || waiting + running + this.#runningRows !== 0 || this.#freeSlots.length !== limits.rows) {
      throw new Error(
        `scheduler: ${waiting} waiting, ${running} running, ${this.#runningRows} rows, ${this.#freeSlots.length} free slots, though idle`,
      );
    }
    sources.checkIdle();
    prefixes?.checkIdle();
    pool.checkIdle();
  }
}

function sourceOf({ sequence }: StepRow): number {
  return sequence.request.source?.order ?? -1;
}

/** @returns those that were removed */
function remove<T>(list: T[], unwanted: (item: T) => boolean): T[] {
  const removed = list.filter(unwanted);
  if (removed.length > 0) list.splice(0, list.length, ...list.filter(item => !unwanted(item)));
  return removed;
}

/** Whether work that cannot be cut may join: it fits, or it would be alone beside the decode rows. */
export function fitsWhole(room: Room, tokens: number): boolean {
  return tokens <= room.left || !room.filling;
}

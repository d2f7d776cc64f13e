/**
 * Which rows run in a step, and what becomes of what they sampled. No I/O and no clock of its own: three calls a step: next(),
 * the step itself, finishStep(). First in, first out: a request that does not fit holds up those behind it, and work that
 * is not decoding is done in order of admission, so that nothing starves.
 *
 * Memory: a request is admitted when the worst case of all its pages can be promised, so a running row never runs out;
 * the pages themselves are taken as they are needed. (Preemption would admit on less and take rows back out of
 * `#running`, released by #releaseSequence; finishing and recomputing are ready for it: `computed` is all that says
 * what a row still has to do.)
 */
import { checkRequest, type ModelLimits, sequencePages } from './limits.ts';
import type { PageTables } from './page-tables.ts';
import type { PagePool } from './pages.ts';
import type { FinishReason, SequenceEvent, SubmitMessage, TokenLogprobs } from './protocol.ts';
import { prefixOf, scoresOf, tokensWithin } from './scoring.ts';
import { Request, type Sequence } from './sequence.ts';
import type { Source, SourceStore } from './sources.ts';

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
  readonly sources: Source[];
  readonly rows: StepRow[];
  /** Pages to copy before anything else runs. */
  readonly copies: { readonly from: number; readonly to: number }[];
}

/** What one sample gave; in the order of the plan's samples: row by row, the scores before the new token. */
export interface SampleResult {
  readonly token: number;
  readonly logprobs?: TokenLogprobs;
}

/** What a step in the making still has room for. */
interface Room {
  /** Tokens; below 0 after something that could not be cut. */
  left: number;
  /** Score samples. */
  scores: number;
  /** Whether anything but decode rows is planned. */
  filling: boolean;
}

export interface SchedulerParts {
  readonly limits: ModelLimits;
  readonly pool: PagePool;
  readonly tables: PageTables;
  readonly sources: SourceStore;
  /** Milliseconds, as clock.ts has them: deadlines are measured by it. */
  readonly now: () => number;
}

export class Scheduler {
  readonly #parts: SchedulerParts;
  readonly #waiting: Request[] = [];
  /** In order of admission. */
  readonly #running: Request[] = [];
  #runningRows = 0;
  readonly #freeSlots: number[];
  #admitted: number[] = [];
  #step: StepPlan | null = null;
  #promptTokens = 0;
  #generatedTokens = 0;

  constructor(parts: SchedulerParts) {
    this.#parts = parts;
    this.#freeSlots = Array.from({ length: parts.limits.rows }, (_, i) => parts.limits.rows - 1 - i);
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  get running(): number {
    return this.#running.length;
  }

  get hasWork(): boolean {
    return this.#waiting.length > 0 || this.#running.length > 0;
  }

  /** Prompt and source tokens of admitted requests, and tokens generated, since the beginning. */
  get totals(): { promptTokens: number; generatedTokens: number } {
    return { promptTokens: this.#promptTokens, generatedTokens: this.#generatedTokens };
  }

  /** Every request that is not finished, oldest first. */
  *requests(): Iterable<Request> {
    yield* this.#running;
    yield* this.#waiting;
  }

  /** @throws RedllmError where the request could never run */
  submit(message: SubmitMessage): void {
    const { limits, pool, tables, sources, now } = this.#parts;
    checkRequest(message, limits, { tables, sources, capacity: pool.capacity, pageBytes: pool.pageBytes });
    this.#waiting.push(new Request(message, now()));
  }

  /** Ids of the requests admitted since the last call. */
  takeAdmitted(): number[] {
    const admitted = this.#admitted;
    if (admitted.length > 0) this.#admitted = [];
    return admitted;
  }

  /** The next step, or null where nothing can run. After it, finishStep() must be called before anything else. */
  next(): StepPlan | null {
    const step: StepPlan = { sources: [], rows: [], copies: [] };
    const room: Room = { left: this.#parts.limits.batchTokens, scores: this.#parts.limits.scores, filling: false };
    for (const request of this.#running) {
      for (const sequence of request.sequences) {
        if (sequence.finish === null && sequence.decoding) this.#addRow(step, room, sequence, 1);
      }
    }
    if (this.#running.every(request => this.#fill(step, room, request))) {
      while (this.#waiting.length > 0 && (room.left > 0 || !room.filling)) {
        const request = this.#waiting[0]!;
        if (!this.#admit(request)) break;
        if (!this.#fill(step, room, request)) break;
      }
    }
    // Attention reads the keys of a source once for rows that stand side by side.
    if (this.#parts.limits.encoder) step.rows.sort((a, b) => sourceOf(a) - sourceOf(b));
    this.#step = step.rows.length > 0 || step.sources.length > 0 ? step : null;
    return this.#step;
  }

  /** Plans what a request has left to do before it decodes. False: not all of it fits, so nothing behind it may run. */
  #fill(step: StepPlan, room: Room, request: Request): boolean {
    const { source } = request;
    if (source !== null && !source.encoded && !step.sources.includes(source)) {
      if (!fitsWhole(room, source.tokens.length)) return false;
      this.#parts.sources.allocate(source);
      step.sources.push(source);
      room.left -= source.tokens.length;
      room.filling = true;
      request.started ??= this.#parts.now();
    }
    for (const sequence of request.sequences) {
      if (sequence.finish !== null || sequence.pending === 0 || sequence.decoding) continue;
      const prefix = this.#parts.limits.wholePrompts ? Math.max(0, prefixOf(request) - sequence.computed) : 0;
      if (prefix > 0 && !fitsWhole(room, prefix)) return false;
      const wanted = Math.max(prefix, Math.min(sequence.pending, room.left));
      const count = tokensWithin(sequence, wanted, room.scores);
      if (count <= 0 || count < prefix) return false;
      this.#addRow(step, room, sequence, count);
      room.filling = true;
      if (count < sequence.pending) return false;
    }
    return true;
  }

  #addRow(step: StepPlan, room: Room, sequence: Sequence, count: number): void {
    const start = sequence.computed;
    this.#parts.tables.grow(sequence, start, start + count);
    const scored = scoresOf(sequence, start, count);
    step.rows.push({ sequence, start, count, sampled: start + count === sequence.length, scored });
    room.left -= count;
    room.scores -= scored;
    sequence.request.started ??= this.#parts.now();
  }

  /** Moves the head of the queue into the running batch, if rows and memory for its worst case are there. */
  #admit(request: Request): boolean {
    const { limits, pool, tables, sources } = this.#parts;
    const { sourceTokens, prompt, params } = request;
    const sequences = request.sequences.filter(sequence => sequence.finish === null);
    if (this.#runningRows + sequences.length > limits.rows) return false;
    const pages = sequencePages(prompt.length, params.maxTokens, limits, tables);
    const isNew = sourceTokens !== null && sources.find(sourceTokens) === undefined;
    const sourcePages = isNew ? sources.pagesFor(sourceTokens.length) : 0;
    if (!pool.reserve(pages * sequences.length + sourcePages, request.id)) return false;
    for (const sequence of sequences) {
      sequence.reserved = pages;
      if (request.penalties) sequence.slot = this.#freeSlots.pop()!;
    }
    if (sourceTokens !== null) {
      const { source, hit } = sources.acquire(sourceTokens);
      request.source = source;
      if (hit) request.cachedTokens = sourceTokens.length;
    }
    request.admitted = true;
    this.#waiting.shift();
    this.#running.push(request);
    this.#runningRows += sequences.length;
    this.#admitted.push(request.id);
    this.#promptTokens += prompt.length + (sourceTokens?.length ?? 0);
    return true;
  }

  /** Takes in what the step's samples gave, in the plan's order. @returns events for the requests' owners */
  finishStep(results: readonly SampleResult[]): SequenceEvent[] {
    const step = this.#step;
    if (step === null) throw new Error('scheduler: a step is finished that was not planned');
    this.#step = null;
    for (const source of step.sources) source.encoded = true;
    const events: SequenceEvent[] = [];
    let sample = 0;
    for (const { sequence, count, sampled, scored } of step.rows) {
      sequence.computed += count;
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

  /** Ends a request, or one of its sequences, between steps; its pages are free when this returns. */
  cancel(id: number, index?: number): SequenceEvent[] {
    const request = this.#find(id);
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
    const now = this.#parts.now();
    const late: number[] = [];
    for (const { id, deadline } of this.requests()) if (deadline !== null && deadline <= now) late.push(id);
    for (const id of late) this.cancel(id);
    return late;
  }

  #find(id: number): Request | undefined {
    return this.#running.find(request => request.id === id) ?? this.#waiting.find(request => request.id === id);
  }

  #finish(sequence: Sequence, reason: FinishReason): void {
    const { request } = sequence;
    sequence.finish = reason;
    if (!request.admitted) {
      if (!request.finished) return;
      const place = this.#waiting.indexOf(request);
      this.#waiting.splice(place, 1);
      if (place === 0) this.#parts.pool.withdraw();
      return;
    }
    this.#releaseSequence(sequence);
    if (!request.finished) return;
    this.#running.splice(this.#running.indexOf(request), 1);
    if (request.source !== null) this.#parts.sources.release(request.source);
    request.source = null;
  }

  #releaseSequence(sequence: Sequence): void {
    this.#parts.tables.release(sequence);
    this.#parts.pool.unreserve(sequence.reserved);
    sequence.reserved = 0;
    if (sequence.slot >= 0) this.#freeSlots.push(sequence.slot);
    sequence.slot = -1;
    sequence.historySet = false;
    this.#runningRows--;
  }

  /** @throws Error where anything is left of requests that are gone */
  checkIdle(): void {
    if (this.hasWork || this.#runningRows !== 0 || this.#freeSlots.length !== this.#parts.limits.rows) {
      throw new Error(
        `scheduler: ${this.waiting} waiting, ${this.running} running, ${this.#runningRows} rows, ${this.#freeSlots.length} free slots, though idle`,
      );
    }
    this.#parts.sources.checkIdle();
    this.#parts.pool.checkIdle();
  }
}

function sourceOf({ sequence }: StepRow): number {
  return sequence.request.source?.order ?? -1;
}

/** Whether work that cannot be cut may join: it fits, or it would be alone beside the decode rows. */
function fitsWhole(room: Room, tokens: number): boolean {
  return tokens <= room.left || !room.filling;
}

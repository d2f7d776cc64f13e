/** The engine as the rest of the server holds it: models to load, requests to submit, a loop in a Worker behind it. */
import { now } from '../clock.ts';
import { fromPlain, RedllmError } from '../errors.ts';
import type { ModelFootprint } from '../native.ts';
import { Backlog } from './backlog.ts';
import { CompletionRate } from './completion-rate.ts';
import { type Connect, type Connection, connectEngine } from './connection.ts';
import { decoderRoom } from './limits.ts';
import {
  type EngineOptions,
  type FromWorker,
  type ModelStats,
  type ModelToLoad,
  rowsOf,
  type SubmitMessage,
} from './protocol.ts';
import { SequenceStream } from './stream.ts';

/** What to generate; see SubmitMessage. */
export type Submission = Omit<SubmitMessage, 'type' | 'id'>;

export interface LoadedModel {
  readonly footprint: ModelFootprint;
  /** K/V pages that it may use while the others use none. */
  readonly pages: number;
  /** Greatest lengths that it takes: as asked, or less where the memory for keys and values holds no more. */
  readonly maxSource: number;
  readonly maxTarget: number;
}

interface Open {
  readonly stream: SequenceStream;
  /** Sequences that have not finished. */
  unfinished: number;
  readonly detach: () => void;
}

interface Loading {
  readonly onProgress: (done: number, total: number) => void;
  readonly resolve: (model: LoadedModel) => void;
  readonly reject: (error: RedllmError) => void;
}

export class Engine {
  readonly #connection: Connection;
  readonly #open = new Map<number, Open>();
  readonly #backlog: Backlog;
  readonly #loaded = new Map<string, LoadedModel>();
  readonly #loading = new Map<string, Loading>();
  #statsAsked: { resolve: (models: readonly ModelStats[]) => void; reject: (error: RedllmError) => void }[] = [];
  readonly #rate = new CompletionRate();
  #nextId = 1;
  #dead: RedllmError | null = null;
  #closing: Promise<void> | null = null;
  #device = '';
  #threads = 0;
  #notice: string | null = null;
  #onReady: () => void = () => {};
  #onDeath: (error: RedllmError) => void = () => {};
  /** Resolves, with the reason for the log, if the engine dies; never rejects. */
  readonly died: Promise<RedllmError>;

  private constructor(options: EngineOptions, connect: Connect) {
    this.#backlog = new Backlog(options);
    this.died = new Promise(resolve => {
      this.#onDeath = resolve;
    });
    this.#connection = connect(options, {
      message: message => this.#receive(message),
      gone: error => {
        if (this.#closing === null) this.#die(endedUnexpectedly(error));
      },
    });
  }

  /**
   * Starts the engine's thread and resolves when it is ready to load models.
   * @param parts.connect another way to reach a loop than the Worker (tests)
   * @throws RedllmError `native_unavailable`, `engine_dead`
   */
  static async start(options: EngineOptions, parts: { connect?: Connect } = {}): Promise<Engine> {
    const engine = new Engine(options, parts.connect ?? connectEngine);
    const ready = new Promise<void>(resolve => {
      engine.#onReady = resolve;
    });
    const failure = await Promise.race([ready, engine.died]);
    if (failure) throw failure;
    return engine;
  }

  /** The backend that computes, e.g. `cpu avx512` or `cuda:0`, and its number of threads. */
  get device(): string {
    return this.#device;
  }

  get threads(): number {
    return this.#threads;
  }

  /** What there is to say about the device (OpenedRuntime.notice); null: nothing. */
  get notice(): string | null {
    return this.#notice;
  }

  /** Why the engine is dead; null while it lives. */
  get dead(): RedllmError | null {
    return this.#dead;
  }

  /** Requests that wait for their first step. */
  get queueDepth(): number {
    return this.#backlog.waiting;
  }

  /** Requests that have not ended, waiting ones included. */
  get openRequests(): number {
    return this.#open.size;
  }

  get models(): ReadonlyMap<string, LoadedModel> {
    return this.#loaded;
  }

  /**
   * Loads a model beside those that run.
   * @param onProgress bytes of weights packed, and in all
   * @throws RedllmError `invalid_checkpoint`, `invalid_config`, `engine_dead`
   */
  load(model: ModelToLoad, onProgress: (done: number, total: number) => void = () => {}): Promise<LoadedModel> {
    return new Promise((resolve, reject) => {
      this.#checkAlive();
      if (this.#loading.has(model.name) || this.#loaded.has(model.name)) {
        throw new RedllmError('invalid_config', `There are two models named '${model.name}'.`, { param: 'model' });
      }
      this.#loading.set(model.name, { onProgress, resolve, reject });
      this.#connection.send({ type: 'load', model });
    });
  }

  /**
   * Queues a request. An abort of `signal` cancels it, as stream.cancel() does.
   * @throws RedllmError `model_not_found`, `queue_full` (with retryAfter), `cancelled`, `engine_dead`, `draining`; a request that
   * could never run fails through its stream
   */
  submit(submission: Submission, options: { signal?: AbortSignal } = {}): SequenceStream {
    const { signal } = options;
    this.#checkAlive();
    if (signal?.aborted) throw new RedllmError('cancelled', 'The request was cancelled before it began.');
    if (!this.#loaded.has(submission.model)) {
      throw new RedllmError('model_not_found', `There is no model '${submission.model}'.`, { param: 'model' });
    }
    const { source, prompt } = submission;
    const tokens = (source?.length ?? 0) + prompt.length;
    const load = { model: submission.model, rows: rowsOf(submission), tokens };
    this.#backlog.check(load, this.#secondsFor);
    const id = this.#nextId++;
    const cancel = (index?: number) => {
      if (this.#dead === null) this.#connection.send({ type: 'cancel', id, ...(index !== undefined && { index }) });
    };
    const stream = new SequenceStream(id, submission.n, cancel);
    const abort = () => stream.cancel();
    signal?.addEventListener('abort', abort, { once: true });
    const detach = () => signal?.removeEventListener('abort', abort);
    this.#open.set(id, { stream, unfinished: submission.n, detach });
    this.#backlog.enter(id, load);
    this.#rate.works(now());
    this.#connection.send({ ...submission, type: 'submit', id });
    return stream;
  }

  /**
   * Whether a request for n answers may wait now, whatever its length: asked before its text is tokenised, so that a full queue
   * refuses at once. submit() has the last word.
   * @throws RedllmError `queue_full` (with retryAfter)
   */
  checkQueue(name: string, n: number): void {
    this.#backlog.check({ model: name, rows: n, tokens: 1 }, this.#secondsFor);
  }

  readonly #secondsFor = (requests: number) => this.#rate.secondsFor(requests, now());

  /**
   * Decoder tokens (prompt and answer) for which each of n answers could be given memory beside a source of so many tokens, if
   * nothing else ran; 0 where there is no such model.
   */
  roomFor(name: string, sourceTokens: number, n: number): number {
    const model = this.#loaded.get(name);
    return model === undefined ? 0 : decoderRoom(model.footprint, model.pages, sourceTokens, n);
  }

  /** @throws RedllmError `engine_dead`, `draining` */
  stats(): Promise<readonly ModelStats[]> {
    return new Promise((resolve, reject) => {
      this.#checkAlive();
      this.#statsAsked.push({ resolve, reject });
      this.#connection.send({ type: 'stats' });
    });
  }

  /** Fails what is still open with `draining`, releases everything, and resolves when the thread has ended. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#dead === null) this.#connection.send({ type: 'close' });
    await this.#connection.ended();
    this.#failAll(new RedllmError('draining', 'The server is shutting down.'));
  }

  #checkAlive(): void {
    if (this.#dead !== null) throw engineDead(this.#dead);
    if (this.#closing !== null) throw new RedllmError('draining', 'The server is shutting down.');
  }

  #receive(message: FromWorker): void {
    switch (message.type) {
      case 'ready':
        this.#device = message.device;
        this.#threads = message.threads;
        this.#notice = message.notice;
        this.#onReady();
        return;
      case 'progress':
        this.#loading.get(message.model)?.onProgress(message.done, message.total);
        return;
      case 'loaded': {
        const { footprint, pages, maxSource, maxTarget } = message;
        const model = { footprint, pages, maxSource, maxTarget };
        this.#loaded.set(message.model, model);
        this.#loading.get(message.model)?.resolve(model);
        this.#loading.delete(message.model);
        return;
      }
      case 'load-failed':
        this.#loading.get(message.model)?.reject(fromPlain(message.error));
        this.#loading.delete(message.model);
        return;
      case 'events':
        this.#receiveEvents(message);
        return;
      case 'stats':
        this.#statsAsked.shift()?.resolve(message.models);
        return;
      case 'dead':
        this.#die(fromPlain(message.error));
        return;
      case 'closed':
        return;
    }
  }

  #receiveEvents({ sequences, failures, admitted }: Extract<FromWorker, { type: 'events' }>): void {
    for (const id of admitted) this.#backlog.start(id);
    for (const event of sequences) {
      const open = this.#open.get(event.id);
      if (open === undefined) continue;
      open.stream.push(event);
      if (event.finish === undefined) continue;
      this.#backlog.freeRow(event.id);
      if (--open.unfinished > 0) continue;
      if (event.finish !== 'cancelled') this.#rate.completed(now());
      this.#forget(event.id, open);
    }
    for (const { id, error } of failures) {
      const open = this.#open.get(id);
      if (open === undefined) continue;
      open.stream.fail(fromPlain(error));
      this.#forget(id, open);
    }
  }

  #forget(id: number, open: Open): void {
    open.detach();
    this.#open.delete(id);
    this.#backlog.leave(id);
    if (this.#open.size === 0) this.#rate.rests(now());
  }

  #die(error: RedllmError): void {
    if (this.#dead !== null) return;
    this.#dead = error;
    this.#failAll(engineDead(error));
    this.#onDeath(error);
  }

  #failAll(error: RedllmError): void {
    for (const [id, open] of this.#open) {
      open.stream.fail(error);
      this.#forget(id, open);
    }
    for (const loading of this.#loading.values()) loading.reject(error);
    this.#loading.clear();
    for (const asked of this.#statsAsked) asked.reject(error);
    this.#statsAsked = [];
  }
}

/** What a client is told; the reason itself is for the log. */
function engineDead(reason: RedllmError): RedllmError {
  return new RedllmError('engine_dead', 'The engine has failed and serves no more requests.', { cause: reason });
}

function endedUnexpectedly(error: Error | null): RedllmError {
  const why = error === null ? '' : `: ${error.message}`;
  return new RedllmError('engine_dead', `The engine's thread ended unexpectedly${why}`, error ? { cause: error } : {});
}

/** Where texts are tokenised: short ones at once, long ones in a pool of threads, so that they hold up no other request. */
import { extname } from 'node:path';
import { Piscina } from 'piscina';
import { RedllmError } from '../errors.ts';
import { DROPPED, type TokenizeTask, WAITING } from './tokenize-worker.ts';
import type { Tokenizer } from './tokenizer.ts';

/**
 * Texts of at least so many UTF-16 units go to the pool. Measured by bench/tokenize.ts on two cores (T5's Unigram, stories260k's
 * BPE): tokenising takes about 1 ms a thousand characters, and the way to the pool and back 0.2 to 0.4 ms where a core is
 * free, 1 to 6 ms where the engine has both. Here it is about 4 ms against that: below, the way costs as much as it saves;
 * above, all streams would stand still for longer than a step takes.
 */
export const POOL_FROM = 4096;

/** Each thread loads its own copy of a tokenizer (300 MB for Gemma's), and the engine needs the cores. */
const THREADS = 2;
const IDLE_MS = 60_000;

export interface PoolOptions {
  /** Texts that may wait for a thread; beyond it encode fails with `queue_full`. */
  readonly maxWaiting?: number;
  /** Milliseconds after which a thread ends that still works at a text which nobody wants any more. */
  readonly grace?: number;
}

export interface PoolEncodeOptions {
  /** Default true. */
  readonly addSpecialTokens?: boolean;
  /** Aborted when the text is no longer wanted: encode then throws the signal's reason at once. */
  readonly signal?: AbortSignal;
}

export class TokenizerPool {
  readonly #maxWaiting: number;
  readonly #grace: number;
  #pool: Piscina<TokenizeTask, Int32Array> | undefined;
  #closed = false;

  constructor({ maxWaiting = 1024, grace = 10_000 }: PoolOptions = {}) {
    this.#maxWaiting = maxWaiting;
    this.#grace = grace;
  }

  /** @throws RedllmError `queue_full` with retryAfter; the reason of the signal */
  async encode(tokenizer: Tokenizer, text: string, options: PoolEncodeOptions = {}): Promise<number[]> {
    const { addSpecialTokens = true, signal } = options;
    signal?.throwIfAborted();
    if (text.length < POOL_FROM || this.#closed) return tokenizer.encode(text, { addSpecialTokens });
    return Array.from(await this.run({ path: tokenizer.path, text, addSpecialTokens }, signal));
  }

  /** In the pool, however short the text is. */
  async run(task: TokenizeTask, signal?: AbortSignal): Promise<Int32Array> {
    this.#pool ??= new Piscina({
      // The compiled file beside this one, or the source where that is what runs.
      filename: new URL(`./tokenize-worker${extname(import.meta.url)}`, import.meta.url).href,
      minThreads: 1,
      maxThreads: THREADS,
      idleTimeout: IDLE_MS,
    });
    const pool = this.#pool;
    // Asked here, as Piscina's own maxQueue fails with an Error that only its sentence tells from others.
    if (pool.queueSize >= this.#maxWaiting)
      throw new RedllmError('queue_full', `${pool.queueSize} long texts wait to be tokenised; try again later.`, {
        // The mean is no number before the first text is done.
        retryAfter: Math.ceil((pool.queueSize * pool.histogram.runTime.mean) / 1000 / THREADS) || 1,
      });
    return signal ? this.#abortable(pool, task, signal) : pool.run(task);
  }

  /**
   * One that waits is taken from the queue. One that runs is asked to stop at its next word, for ending its thread would end
   * the tokenizers that it holds; only where that does not help, as with a text without words, the thread is ended.
   */
  #abortable(pool: Piscina<TokenizeTask, Int32Array>, task: TokenizeTask, signal: AbortSignal): Promise<Int32Array> {
    const state = new Int32Array(new SharedArrayBuffer(4));
    const end = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        reject(signal.reason);
        if (Atomics.exchange(state, 0, DROPPED) === WAITING) end.abort();
        else timer = setTimeout(() => end.abort(), this.#grace).unref();
      };
      signal.addEventListener('abort', abort, { once: true });
      pool
        .run({ ...task, state }, { signal: end.signal })
        .then(resolve, reject)
        .finally(() => {
          signal.removeEventListener('abort', abort);
          clearTimeout(timer);
        });
    });
  }

  /** Ends the threads; what they had under way fails. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#pool?.destroy();
    this.#pool = undefined;
  }
}

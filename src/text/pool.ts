/** Where texts are tokenised: short ones at once, long ones in a pool of threads, so that they hold up no other request. */
import { extname } from 'node:path';
import { Piscina } from 'piscina';
import type { TokenizeTask } from './tokenize-worker.ts';
import type { EncodeOptions, Tokenizer } from './tokenizer.ts';

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

export class TokenizerPool {
  #pool: Piscina<TokenizeTask, Int32Array> | undefined;
  #closed = false;

  async encode(tokenizer: Tokenizer, text: string, options: EncodeOptions = {}): Promise<number[]> {
    if (text.length < POOL_FROM || this.#closed) return tokenizer.encode(text, options);
    return Array.from(
      await this.run({ path: tokenizer.path, text, addSpecialTokens: options.addSpecialTokens ?? true }),
    );
  }

  /** In the pool, however short the text is. A run is never aborted: that would end its thread and the tokenizers it holds. */
  run(task: TokenizeTask): Promise<Int32Array> {
    this.#pool ??= new Piscina({
      // The compiled file beside this one, or the source where that is what runs.
      filename: new URL(`./tokenize-worker${extname(import.meta.url)}`, import.meta.url).href,
      minThreads: 1,
      maxThreads: THREADS,
      idleTimeout: IDLE_MS,
    });
    return this.#pool.run(task);
  }

  /** Ends the threads; what they had under way fails. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#pool?.destroy();
    this.#pool = undefined;
  }
}

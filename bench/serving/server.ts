/** The parent's end of a server process: where it listens, what it says of itself, and its end. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Config } from '../../src/config.ts';
import type { Question, Reply, ServerMemory, ServerState } from './server-process.ts';

/** What a client must know of the model it asks. */
export interface Asked {
  readonly url: string;
  readonly model: string;
  /** It takes text; otherwise token ids. */
  readonly text: boolean;
}

export class BenchServer {
  readonly #child: ChildProcess;
  readonly asked: Asked;
  /** e.g. `cpu avx512`, and its threads. */
  readonly device: string;
  readonly threads: number;
  #stopped = false;

  private constructor(child: ChildProcess, asked: Asked, listening: Extract<Reply, { type: 'listening' }>) {
    this.#child = child;
    this.asked = asked;
    this.device = listening.device;
    this.threads = listening.threads;
  }

  /** @param settings of the configuration; model, a directory or `random:SIZE`, must be among them */
  static async start(settings: Partial<Config>): Promise<BenchServer> {
    const child = fork(new URL('./server-process.js', import.meta.url), [JSON.stringify(settings)]);
    try {
      const listening = await reply(child, 'listening');
      const { data } = (await (await fetch(`${listening.url}/v1/models`)).json()) as {
        data: { id: string; architecture: { text: boolean } }[];
      };
      const [{ id, architecture }] = data as [(typeof data)[0]];
      return new BenchServer(child, { url: listening.url, model: id, text: architecture.text }, listening);
    } catch (error) {
      child.kill();
      throw error;
    }
  }

  async state(): Promise<ServerState> {
    return (await this.#ask('state')).state;
  }

  async memory(): Promise<ServerMemory> {
    return (await this.#ask('memory')).memory;
  }

  /** Waits until no request is open, for so many milliseconds at most. @returns the last state */
  async idle(timeout: number): Promise<ServerState> {
    const end = Date.now() + timeout;
    for (;;) {
      const state = await this.state();
      if (isIdle(state) || Date.now() > end) return state;
      await new Promise(resolve => setTimeout(resolve, 100));
    }
  }

  /** Ends it in good order. @returns why its engine died, null for one that closed with nothing left */
  async stop(): Promise<string | null> {
    this.#stopped = true;
    const { dead } = await this.#ask('stop');
    return dead;
  }

  /** Ends it whatever its state. */
  kill(): void {
    if (!this.#stopped) this.#child.kill('SIGKILL');
  }

  #ask<Type extends Question>(question: Type) {
    this.#child.send(question);
    return reply(this.#child, (question === 'stop' ? 'stopped' : question) as Type extends 'stop' ? 'stopped' : Type);
  }
}

export function isIdle({ models, openRequests, queueDepth, atWork }: ServerState): boolean {
  return openRequests + queueDepth + atWork === 0 && models.every(({ running, waiting }) => running + waiting === 0);
}

/** Pages that neither a request nor a cache accounts for once there is no request. */
export function strayPages({ models }: ServerState): number {
  return models.reduce(
    (sum, { pages }) => sum + (pages.self - pages.cachedSelf) + (pages.cross - pages.cachedCross),
    0,
  );
}

/** The next reply of this type. @throws Error where the process ends first */
async function reply<Type extends Reply['type']>(
  child: ChildProcess,
  type: Type,
): Promise<Extract<Reply, { type: Type }>> {
  const over = new AbortController();
  const gone = once(child, 'exit', { signal: over.signal }).then(([code, signal]) => {
    throw new Error(`The server process ended (${signal ?? code}).`);
  });
  const come = new Promise<Extract<Reply, { type: Type }>>(resolve => {
    const listener = (message: Reply) => {
      if (message.type !== type) return;
      child.off('message', listener);
      resolve(message as Extract<Reply, { type: Type }>);
    };
    child.on('message', listener);
  });
  try {
    return await Promise.race([come, gone]);
  } finally {
    gone.catch(() => {});
    over.abort();
  }
}

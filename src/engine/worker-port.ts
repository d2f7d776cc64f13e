/** The Worker's end of the line to the handle. */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { LoopPort } from './loop.ts';
import type { FromWorker, ToWorker } from './protocol.ts';

/**
 * A busy loop takes messages out of the port itself; an idle one is woken by the port's event. One listener stays on
 * throughout: a port that was started drops what comes while nobody listens.
 */
export class WorkerPort implements LoopPort {
  readonly #port: MessagePort;
  readonly #came: ToWorker[] = [];
  #wake: (() => void) | null = null;

  constructor(port: MessagePort) {
    this.#port = port;
    port.on('message', (message: ToWorker) => {
      this.#came.push(message);
      this.#wake?.();
    });
  }

  post(message: FromWorker): void {
    this.#port.postMessage(message);
  }

  take(): ToWorker | undefined {
    return this.#came.shift() ?? (receiveMessageOnPort(this.#port)?.message as ToWorker | undefined);
  }

  /** Resolves when a message comes, or after so many milliseconds; null: however long it takes. */
  async wait(milliseconds: number | null): Promise<void> {
    if (this.#came.length > 0) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>(resolve => {
      this.#wake = resolve;
      // Node's timers hold 32 bits; a later deadline is simply looked at again.
      if (milliseconds !== null) timer = setTimeout(resolve, Math.min(milliseconds, 2 ** 31 - 1));
    });
    clearTimeout(timer);
    this.#wake = null;
  }

  /** Lets the thread end. */
  close(): void {
    this.#port.close();
  }
}

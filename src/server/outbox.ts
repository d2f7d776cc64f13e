/**
 * What a WebSocket still owes its reader, bounded: above the limit, requests wait before they send more, and frames of the
 * client are left unread; a reader that does not catch up in time is cut off. Nobody else waits for it: the engine goes on,
 * and what a request has generated meanwhile is bounded by its max_tokens.
 */
import type { WebSocket } from 'ws';
import { RedllmError } from '../errors.ts';

/** RFC 6455: policy violation. */
const TOO_SLOW = 1008;

const gone = () => new RedllmError('cancelled', 'The client closed the connection.');

export class Outbox {
  readonly #socket: WebSocket;
  readonly #limit: number;
  readonly #timeout: number;
  readonly #onCut: (reason: RedllmError) => void;
  #owed = 0;
  #waiting: { resolve: () => void; reject: (error: RedllmError) => void }[] = [];
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param limit bytes owed from which on send() waits
   * @param timeout ms for which the reader may leave it above the limit
   * @param onCut called when it was cut off
   */
  constructor(socket: WebSocket, limit: number, timeout: number, onCut: (reason: RedllmError) => void) {
    this.#socket = socket;
    this.#limit = limit;
    this.#timeout = timeout;
    this.#onCut = onCut;
    socket.on('close', () => this.#settle(gone()));
  }

  /** Resolves when there is room for more. @throws RedllmError `slow_reader`, `cancelled` */
  async send(frame: object): Promise<void> {
    if (this.#socket.readyState !== this.#socket.OPEN) throw gone();
    this.post(frame);
    if (this.#owed <= this.#limit) return;
    await new Promise<void>((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** Sends without waiting; for frames that answer a frame. */
  post(frame: object): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    const text = JSON.stringify(frame);
    const size = Buffer.byteLength(text);
    this.#owed += size;
    this.#socket.send(text, () => {
      this.#owed -= size;
      if (this.#timer && this.#owed <= this.#limit / 2) this.#settle();
    });
    if (this.#owed > this.#limit && !this.#timer) {
      this.#timer = setTimeout(() => this.#cut(), this.#timeout);
      this.#socket.pause();
    }
  }

  #settle(error?: RedllmError): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const waiting = this.#waiting.splice(0);
    for (const { resolve, reject } of waiting) error ? reject(error) : resolve();
    if (!error) this.#socket.resume();
  }

  #cut(): void {
    const error = new RedllmError('slow_reader', 'The client reads too slowly.');
    this.#socket.resume();
    this.#socket.close(TOO_SLOW, error.message);
    // The close frame stands behind all that is unread; one second is its chance to be seen.
    setTimeout(() => this.#socket.terminate(), 1000).unref();
    this.#settle(error);
    this.#onCut(error);
  }
}

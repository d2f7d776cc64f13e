/** Server-sent events, as OpenAI sends them: `data:` lines alone, and `[DONE]` at a good end. */
import type { ServerResponse } from 'node:http';
import { asRedllmError, RedllmError } from '../errors.ts';

export class EventStream {
  readonly #response: ServerResponse;
  readonly #timeout: number;
  readonly #signal: AbortSignal;

  /**
   * @param options.timeout ms for which a reader may leave the socket's buffer full
   * @param options.signal aborted with a RedllmError when the stream must end, read or not
   */
  constructor(
    response: ServerResponse,
    options: { readonly timeout: number; readonly signal: AbortSignal; readonly headers: Record<string, string> },
  ) {
    this.#response = response;
    this.#timeout = options.timeout;
    this.#signal = options.signal;
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      // A proxy must not collect events into larger answers.
      'x-accel-buffering': 'no',
      ...options.headers,
    });
  }

  /** Resolves when the socket takes more. @throws RedllmError `slow_reader`, or `cancelled` where the client is gone */
  async send(data: object | '[DONE]'): Promise<void> {
    const text = typeof data === 'string' ? data : JSON.stringify(data);
    if (!this.#response.write(`data: ${text}\n\n`)) await this.#drained();
  }

  /** A comment: clients skip it, proxies see that the connection is of use. It says nothing to a reader who is behind. */
  comment(text: string): void {
    if (!this.blocked) this.#response.write(`: ${text}\n\n`);
  }

  /** Whether the reader has left the socket's buffer full. */
  get blocked(): boolean {
    return this.#response.writableNeedDrain;
  }

  end(): void {
    this.#response.end();
  }

  /** Cuts the connection, whatever is still unread. */
  cut(): void {
    this.#response.destroy();
  }

  #drained(): Promise<void> {
    const response = this.#response;
    return new Promise((resolve, reject) => {
      const settle = (error?: RedllmError) => {
        clearTimeout(timer);
        response.off('drain', drained).off('close', closed);
        this.#signal.removeEventListener('abort', aborted);
        if (error) reject(error);
        else resolve();
      };
      const drained = () => settle();
      const closed = () => settle(new RedllmError('cancelled', 'The client closed the connection.'));
      const aborted = () => settle(asRedllmError(this.#signal.reason));
      const timer = setTimeout(
        () => settle(new RedllmError('slow_reader', 'The client reads too slowly.')),
        this.#timeout,
      );
      response.on('drain', drained).on('close', closed);
      this.#signal.addEventListener('abort', aborted, { once: true });
      if (response.destroyed) closed();
      else if (this.#signal.aborted) aborted();
    });
  }
}

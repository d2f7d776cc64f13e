/** Server-sent events, as OpenAI sends them: `data:` lines alone, and `[DONE]` at a good end. */
import type { ServerResponse } from 'node:http';
import { RedllmError } from '../errors.ts';

export class EventStream {
  readonly #response: ServerResponse;
  readonly #timeout: number;

  /** @param timeout ms for which a reader may leave the socket's buffer full */
  constructor(response: ServerResponse, timeout: number, headers: Record<string, string>) {
    this.#response = response;
    this.#timeout = timeout;
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      // A proxy must not collect events into larger answers.
      'x-accel-buffering': 'no',
      ...headers,
    });
  }

  /** Resolves when the socket takes more. @throws RedllmError `slow_reader`, or `cancelled` where the client is gone */
  async send(data: object | '[DONE]'): Promise<void> {
    const text = typeof data === 'string' ? data : JSON.stringify(data);
    if (!this.#response.write(`data: ${text}\n\n`)) await this.#drained();
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
        if (error) reject(error);
        else resolve();
      };
      const drained = () => settle();
      const closed = () => settle(new RedllmError('cancelled', 'The client closed the connection.'));
      const timer = setTimeout(
        () => settle(new RedllmError('slow_reader', 'The client reads too slowly.')),
        this.#timeout,
      );
      response.on('drain', drained).on('close', closed);
      if (response.destroyed) closed();
    });
  }
}

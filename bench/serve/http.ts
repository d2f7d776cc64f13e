/** Requests over HTTP with their streams of events, timed as they come. */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { type Answer, type Chunk, Reader } from './answer.ts';
import { EventReader } from './events.ts';
import type { Target } from './target.ts';

/** What carries requests to a server. */
export interface Carrier {
  /** Resolves with the answer whatever becomes of it. @param body in JSON */
  ask(body: string, choices: number): Promise<Answer>;
  close(): void;
}

export class HttpCarrier implements Carrier {
  readonly #target: Target;
  readonly #timeout: number;
  readonly #agent: HttpAgent;
  readonly #request: typeof httpRequest;

  /** @param timeout milliseconds that an answer may take */
  constructor(target: Target, timeout: number) {
    const secure = target.address.startsWith('https:');
    this.#target = target;
    this.#timeout = timeout;
    // As many connections as there are requests at once: the server decides who waits, not this client.
    this.#agent = new (secure ? HttpsAgent : HttpAgent)({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });
    this.#request = secure ? httpsRequest : httpRequest;
  }

  ask(body: string, choices: number): Promise<Answer> {
    return this.#ask(body, new Reader(performance.now(), choices), true);
  }

  #ask(body: string, reader: Reader, mayRetry: boolean): Promise<Answer> {
    return new Promise(resolve => {
      const { address, headers } = this.#target;
      const call = this.#request(address, {
        method: 'POST',
        agent: this.#agent,
        headers: { ...headers, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      });
      let expired = false;
      const timer = setTimeout(() => {
        expired = true;
        reader.fail('timeout', `No answer within ${this.#timeout / 1000} s.`);
        call.destroy();
      }, this.#timeout);
      const settle = () => {
        clearTimeout(timer);
        resolve(reader.answer());
      };
      let answered = false;
      call.on('response', response => {
        answered = true;
        if (response.statusCode === 200) readStream(response, reader, settle);
        else readRefusal(response, reader, settle);
      });
      call.on('error', (error: NodeJS.ErrnoException) => {
        if (answered) return;
        clearTimeout(timer);
        // A connection that the server closed while it was idle: nothing was asked on it.
        if (mayRetry && !expired && call.reusedSocket && error.code === 'ECONNRESET') {
          resolve(this.#ask(body, reader, false));
          return;
        }
        const never = ['ECONNREFUSED', 'ENOTFOUND', 'EHOSTUNREACH', 'EADDRNOTAVAIL', 'EMFILE'];
        reader.fail(never.includes(error.code ?? '') ? 'connect' : 'lost', error.message);
        settle();
      });
      call.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

function readStream(response: IncomingMessage, reader: Reader, settle: () => void): void {
  let done = false;
  const events = new EventReader(data => {
    if (data === '[DONE]') {
      done = true;
      return;
    }
    const time = performance.now();
    const chunk = parse(data);
    if (chunk === null) reader.fail('unreadable', `No JSON object in an event: ${data.slice(0, 100)}`);
    else reader.chunk(chunk, time);
  });
  response.setEncoding('utf8');
  response.on('data', (piece: string) => events.push(piece));
  response.on('error', () => {});
  // A close comes last, after a good end and after any other.
  response.on('close', () => {
    events.end();
    if (!done && !(response.complete && reader.finished))
      reader.fail('lost', 'The stream ended before the answer did.');
    settle();
  });
}

function readRefusal(response: IncomingMessage, reader: Reader, settle: () => void): void {
  let text = '';
  response.setEncoding('utf8');
  response.on('data', (piece: string) => {
    text += piece;
  });
  response.on('error', () => {});
  response.on('close', () => {
    const status = response.statusCode ?? 0;
    // It may be a date, too; servers of models say seconds.
    const after = Number(response.headers['retry-after'] ?? Number.NaN);
    const kind = status === 429 ? 'refused' : (`http_${status}` as const);
    reader.fail(kind, messageOf(text) || `HTTP ${status}`, Number.isFinite(after) ? after : null);
    settle();
  });
}

/** The sentence of an error's body: OpenAI's envelope, vLLM's old one, or whatever it is. */
function messageOf(text: string): string {
  const body = parse(text) as { error?: { message?: string } | string; message?: string } | null;
  const error = body?.error;
  return (typeof error === 'string' ? error : (error?.message ?? body?.message)) ?? text.slice(0, 200);
}

function parse(text: string): Chunk | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' ? value : null;
  } catch {
    return null;
  }
}

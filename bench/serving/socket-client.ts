/** A WebSocket that carries many requests at once, each to its last frame; a cancel or the socket's end may come first. */
import { WebSocket } from 'ws';
import { readObjects, unanswered } from './client.ts';

/** lost: the socket ended first. */
export type SocketEnd = 'done' | 'cancelled' | 'refused' | 'error' | 'lost';

interface Usage {
  readonly completion_tokens: number;
}

/** How a request ended. */
export interface SocketAnswer {
  readonly end: SocketEnd;
  readonly text: string;
  /** The error's code and message, where there was one. */
  readonly why: string;
  readonly message: string;
  readonly usage: Usage | null;
}

export interface Listening {
  /** Chunks after which it is cancelled; 0: at once. */
  readonly cancelAfter?: number;
  /** Takes the chunks as they come; the answer's text is empty then. */
  readonly chunk?: (data: object) => void;
  /** Milliseconds after which it counts as unanswered. */
  readonly timeout?: number;
}

const unread = { text: '', why: '', message: '', usage: null };

interface Frame {
  readonly type: 'chunk' | 'done' | 'error';
  readonly id: number | null;
  readonly data?: object;
  readonly usage?: Usage;
  readonly error?: { readonly code: string; readonly message: string };
}

interface Job {
  readonly chunks: object[];
  received: number;
  readonly listening: Listening;
  readonly resolve: (answer: SocketAnswer) => void;
}

export class SocketClient {
  readonly #url: string;
  readonly #headers: Readonly<Record<string, string>>;
  #socket: WebSocket | null = null;
  #opening: Promise<WebSocket> | null = null;
  readonly #jobs = new Map<number, Job>();
  #nextId = 1;

  /** @param url of a server, or of an endpoint (`ws://…`)   @param headers of the handshake */
  constructor(url: string, headers: Readonly<Record<string, string>> = {}) {
    this.#url = url.startsWith('ws') ? url : `${url.replace('http', 'ws')}/v1/completions`;
    this.#headers = headers;
  }

  /** Opens the socket where there is none. @returns whether there is one now */
  async open(): Promise<boolean> {
    return (await this.#open()) === this.#socket;
  }

  /** Sends a request, with the socket opened before it where there is none. @param body or its JSON */
  async complete(body: Readonly<Record<string, unknown>> | string, listening: Listening = {}): Promise<SocketAnswer> {
    const socket = await this.#open();
    // It may have ended while this request waited for it to open; its jobs were told then.
    if (socket !== this.#socket) return { end: 'lost', ...unread };
    const id = this.#nextId++;
    return new Promise<SocketAnswer>(resolve => {
      const timer = setTimeout(() => {
        this.#jobs.delete(id);
        if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: 'cancel', id }));
        resolve({ end: 'error', ...unread, why: 'unanswered' });
      }, listening.timeout ?? unanswered);
      const settle: Job['resolve'] = end => {
        clearTimeout(timer);
        resolve(end);
      };
      this.#jobs.set(id, { chunks: [], received: 0, listening, resolve: settle });
      const fields = typeof body === 'string' ? body : JSON.stringify(body);
      socket.send(`{"type":"create","id":${id},${fields.slice(1)}`);
      if (listening.cancelAfter === 0) socket.send(JSON.stringify({ type: 'cancel', id }));
      if (socket.readyState > WebSocket.OPEN) this.#lose(socket);
    });
  }

  /** Cuts the connection under all its requests. */
  destroy(): void {
    this.#socket?.terminate();
  }

  #open(): Promise<WebSocket> {
    this.#opening ??= this.#connect();
    return this.#opening;
  }

  async #connect(): Promise<WebSocket> {
    const socket = new WebSocket(this.#url, { headers: this.#headers });
    this.#socket = socket;
    socket.on('error', () => {});
    socket.on('close', () => this.#lose(socket));
    socket.on('message', data => this.#receive(socket, JSON.parse(String(data)) as Frame));
    await new Promise<void>(resolve => socket.on('open', resolve).on('close', () => resolve()));
    return socket;
  }

  #receive(socket: WebSocket, frame: Frame): void {
    const job = this.#jobs.get(frame.id ?? -1);
    if (job === undefined) return;
    if (frame.type === 'chunk') {
      const { chunk, cancelAfter } = job.listening;
      if (chunk) chunk(frame.data!);
      else job.chunks.push(frame.data!);
      if (++job.received === cancelAfter) socket.send(JSON.stringify({ type: 'cancel', id: frame.id }));
      return;
    }
    this.#jobs.delete(frame.id!);
    const { code = '', message = '' } = frame.error ?? {};
    const ends: Record<string, SocketEnd> = { cancelled: 'cancelled', queue_full: 'refused' };
    const end = frame.type === 'done' ? 'done' : (ends[code] ?? 'error');
    const { text } = readObjects(job.chunks);
    job.resolve({ end, text, why: code, message, usage: frame.usage ?? null });
  }

  #lose(socket: WebSocket): void {
    if (socket !== this.#socket) return;
    this.#socket = null;
    this.#opening = null;
    const jobs = [...this.#jobs.values()];
    this.#jobs.clear();
    for (const { resolve } of jobs) resolve({ end: 'lost', ...unread });
  }
}

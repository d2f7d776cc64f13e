/** A WebSocket that carries many requests at once, each to its last frame; a cancel or the socket's end may come first. */
import { WebSocket } from 'ws';
import { readObjects, unanswered } from './client.ts';

/** lost: the socket ended first. */
export type SocketEnd = 'done' | 'cancelled' | 'refused' | 'error' | 'lost';

interface Frame {
  readonly type: 'chunk' | 'done' | 'error';
  readonly id: number | null;
  readonly data?: object;
  readonly usage?: { readonly completion_tokens: number };
  readonly error?: { readonly code: string; readonly message: string };
}

interface Job {
  readonly chunks: object[];
  readonly cancelAfter: number;
  readonly resolve: (end: { end: SocketEnd; text: string; why: string }) => void;
}

export class SocketClient {
  readonly #url: string;
  #socket: WebSocket | null = null;
  #opening: Promise<WebSocket> | null = null;
  readonly #jobs = new Map<number, Job>();
  #nextId = 1;

  constructor(url: string) {
    this.#url = `${url.replace('http', 'ws')}/v1/completions`;
  }

  /**
   * Sends a request; opens the socket where there is none.
   * @param cancelAfter chunks after which it is cancelled; 0: at once
   */
  async complete(body: Readonly<Record<string, unknown>>, cancelAfter = Number.POSITIVE_INFINITY) {
    const socket = await this.#open();
    // It may have ended while this request waited for it to open; its jobs were told then.
    if (socket !== this.#socket) return { end: 'lost' as SocketEnd, text: '', why: '' };
    const id = this.#nextId++;
    return new Promise<{ end: SocketEnd; text: string; why: string }>(resolve => {
      const timer = setTimeout(() => resolve({ end: 'error', text: '', why: 'unanswered' }), unanswered);
      const settle: Job['resolve'] = end => {
        clearTimeout(timer);
        resolve(end);
      };
      this.#jobs.set(id, { chunks: [], cancelAfter, resolve: settle });
      socket.send(JSON.stringify({ type: 'create', id, ...body }));
      if (cancelAfter === 0) socket.send(JSON.stringify({ type: 'cancel', id }));
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
    const socket = new WebSocket(this.#url);
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
      job.chunks.push(frame.data!);
      if (job.chunks.length === job.cancelAfter) socket.send(JSON.stringify({ type: 'cancel', id: frame.id }));
      return;
    }
    this.#jobs.delete(frame.id!);
    const code = frame.error?.code;
    const ends: Record<string, SocketEnd> = { cancelled: 'cancelled', queue_full: 'refused' };
    const end = frame.type === 'done' ? 'done' : (ends[code ?? ''] ?? 'error');
    job.resolve({ end, text: readObjects(job.chunks).text, why: code ?? '' });
  }

  #lose(socket: WebSocket): void {
    if (socket !== this.#socket) return;
    this.#socket = null;
    this.#opening = null;
    const jobs = [...this.#jobs.values()];
    this.#jobs.clear();
    for (const { resolve } of jobs) resolve({ end: 'lost', text: '', why: '' });
  }
}

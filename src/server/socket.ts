/** One WebSocket with many requests on it; docs/api.md has its frames. */
import type { FastifyBaseLogger } from 'fastify';
import type { RawData, WebSocket } from 'ws';
import { RedllmError } from '../errors.ts';
import { parseJson } from './body.ts';
import type { Call, ServerContext } from './call.ts';
import type { Ticket } from './drain.ts';
import { report } from './error-handler.ts';
import { Outbox } from './outbox.ts';
import { usageObject } from './usage.ts';

/** The client's name for a request, as it was given. */
type Id = string | number;

const isId = (id: unknown): id is Id =>
  (typeof id === 'string' && id.length > 0 && id.length <= 128) || Number.isSafeInteger(id);

/** A CallReader for the client at the other end. */
type Read = (context: ServerContext, body: unknown) => Call;

export class SocketSession {
  readonly #socket: WebSocket;
  readonly #context: ServerContext;
  readonly #read: Read;
  readonly #log: FastifyBaseLogger;
  readonly #outbox: Outbox;
  readonly #jobs = new Map<Id, Ticket>();
  #answersPings = true;

  constructor(socket: WebSocket, context: ServerContext, read: Read, log: FastifyBaseLogger) {
    const { options, drain } = context;
    this.#socket = socket;
    this.#context = context;
    this.#read = read;
    this.#log = log;
    this.#outbox = new Outbox(socket, options.socketBuffer, options.slowReaderTimeout, error => this.#cancelAll(error));
    const heartbeat = setInterval(() => this.#ping(), options.heartbeat);
    const stopListening = drain.onBegin(() => this.#leaveIfIdle());
    socket.on('message', (data, isBinary) => this.#receive(data, isBinary));
    socket.on('pong', () => {
      this.#answersPings = true;
    });
    socket.on('close', () => {
      clearInterval(heartbeat);
      stopListening();
      this.#cancelAll(new RedllmError('cancelled', 'The client closed the connection.'));
    });
  }

  #ping(): void {
    if (!this.#answersPings) {
      this.#socket.terminate();
      return;
    }
    this.#answersPings = false;
    this.#socket.ping();
  }

  #cancelAll(reason: RedllmError): void {
    for (const ticket of this.#jobs.values()) ticket.cancel(reason);
  }

  /** Nothing that a frame holds ends the socket: it is answered with an error frame. */
  #receive(data: RawData, isBinary: boolean): void {
    let id: Id | null = null;
    try {
      if (isBinary) throw new RedllmError('invalid_value', 'Frames must be text (JSON), not binary.');
      const frame = parseJson(data as Buffer);
      if (typeof frame !== 'object' || frame === null || Array.isArray(frame))
        throw new RedllmError('invalid_value', 'A frame must be a JSON object.');
      const { type, id: given, ...body } = frame as Record<string, unknown>;
      if (isId(given)) id = given;
      if (type !== 'create' && type !== 'cancel')
        throw new RedllmError('invalid_value', 'type must be "create" or "cancel".', { param: 'type' });
      if (id === null)
        throw new RedllmError('invalid_value', 'id must be a string of 1 to 128 characters or an integer.', {
          param: 'id',
        });
      if (type === 'cancel') this.#cancel(id);
      else this.#create(id, body);
    } catch (thrown) {
      this.#fail(id, thrown);
    }
  }

  #cancel(id: Id): void {
    const ticket = this.#jobs.get(id);
    if (!ticket)
      throw new RedllmError('not_found', 'No request with this id is running on this socket.', { param: 'id' });
    ticket.cancel(new RedllmError('cancelled', 'The request was cancelled.'));
  }

  #create(id: Id, body: Record<string, unknown>): void {
    if (this.#jobs.has(id))
      throw new RedllmError('invalid_value', 'A request with this id is still running on this socket.', {
        param: 'id',
      });
    if (this.#jobs.size >= this.#context.options.maxSocketRequests)
      throw new RedllmError('queue_full', `This socket already runs ${this.#jobs.size} requests, the most it may.`, {
        retryAfter: 1,
      });
    if (body.stream === false)
      throw new RedllmError('invalid_value', 'stream must not be false: a WebSocket always streams.', {
        param: 'stream',
      });
    if (this.#context.drain.draining) throw this.#context.drain.refusal();
    const call = this.#read(this.#context, { ...body, stream: true });
    const ticket = this.#context.drain.enter();
    this.#jobs.set(id, ticket);
    void this.#run(id, call.chunks(ticket), ticket);
  }

  async #run(id: Id, chunks: ReturnType<Call['chunks']>, ticket: Ticket): Promise<void> {
    try {
      let step = await chunks.next();
      for (; !step.done; step = await chunks.next()) await this.#outbox.send({ type: 'chunk', id, data: step.value });
      // The id is free again before the client can know that it is.
      this.#jobs.delete(id);
      await this.#outbox.send({ type: 'done', id, usage: usageObject(step.value) });
    } catch (thrown) {
      this.#jobs.delete(id);
      this.#fail(id, thrown);
    } finally {
      this.#jobs.delete(id);
      await chunks.return(undefined as never).catch(() => {});
      ticket.leave();
      this.#leaveIfIdle();
    }
  }

  #fail(id: Id | null, thrown: unknown): void {
    const { error } = report(thrown, this.#log).toJSON();
    this.#outbox.post({ type: 'error', id, error });
  }

  /** While the server drains, a socket without requests is closed. */
  #leaveIfIdle(): void {
    if (this.#context.drain.draining && this.#jobs.size === 0) this.#socket.close(1001, 'The server is shutting down.');
  }
}

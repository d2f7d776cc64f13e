/** One call answered over HTTP: as one object, or as a stream of events. */
import type { ServerResponse } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { RedllmError } from '../errors.ts';
import type { Call, ServerContext, WholeCall } from './call.ts';
import type { Ticket } from './drain.ts';
import { report } from './error-handler.ts';
import { EventStream } from './sse.ts';

/** @throws RedllmError for all that fails before the first byte of the answer */
export async function answer(
  context: ServerContext,
  call: Call | WholeCall,
  request: FastifyRequest,
  reply: FastifyReply,
) {
  const ticket = context.drain.enter();
  const gone = () => ticket.cancel(new RedllmError('cancelled', 'The client closed the connection.'));
  reply.raw.once('close', gone);
  try {
    if (!call.stream) return await call.whole(ticket);
    await stream(context, call, ticket, request, reply);
    return reply;
  } finally {
    reply.raw.off('close', gone);
    whenSent(reply.raw, () => ticket.leave());
  }
}

/** Calls back once the answer's last byte is handed over, or will never be: a request is at work until then. */
function whenSent(response: ServerResponse, done: () => void): void {
  if (response.writableFinished || response.destroyed) {
    done();
    return;
  }
  const once = () => {
    response.off('finish', once).off('close', once);
    done();
  };
  response.on('finish', once).on('close', once);
}

async function stream(
  context: ServerContext,
  call: Call,
  ticket: Ticket,
  request: FastifyRequest,
  reply: FastifyReply,
) {
  const chunks = call.chunks(ticket);
  let opened: EventStream | undefined;
  const open = () => {
    opened ??= openStream(context, ticket, request, reply);
    return opened;
  };
  const keepAlive = setInterval(() => open().comment('keep-alive'), context.options.keepAlive).unref();
  try {
    // Whatever is wrong shows before the first chunk, while the status can still say so: all that is known within keepAlive.
    let step = await chunks.next();
    const events = open();
    for (; !step.done; step = await chunks.next()) {
      await events.send(step.value);
      keepAlive.refresh();
    }
    await events.send('[DONE]');
    events.end();
  } catch (thrown) {
    if (opened === undefined) throw thrown;
    await endWithError(opened, report(thrown, request.log), ticket);
  } finally {
    clearInterval(keepAlive);
    await chunks.return(undefined as never).catch(() => {});
  }
}

/** From here on the answer is a stream, whatever comes. */
function openStream(context: ServerContext, ticket: Ticket, request: FastifyRequest, reply: FastifyReply): EventStream {
  reply.hijack();
  const headers: Record<string, string> = { 'x-request-id': request.id };
  if (context.drain.draining) headers.connection = 'close';
  return new EventStream(reply.raw, { timeout: context.options.slowReaderTimeout, signal: ticket.signal, headers });
}

/** The status is long sent: an event tells, and the stream ends without [DONE]. */
async function endWithError(events: EventStream, error: RedllmError, ticket: Ticket): Promise<void> {
  ticket.cancel(error);
  // Who does not read would not read the error either.
  if (error.code === 'slow_reader' || events.blocked) {
    events.cut();
    return;
  }
  await events.send(error.toJSON()).catch(() => {});
  events.end();
}

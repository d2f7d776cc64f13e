/** Every way in which a request can fail, to one shape: the OpenAI envelope, with its status and `Retry-After`. */

import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { asRedllmError, RedllmError } from '../errors.ts';

/** What fastify throws, in our words. */
function translate(thrown: unknown, request: FastifyRequest): unknown {
  const { code, statusCode, message } = thrown as { code?: string; statusCode?: number; message?: string };
  if (thrown instanceof RedllmError) return thrown;
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE': {
      const limit = request.routeOptions.bodyLimit;
      return new RedllmError('payload_too_large', `The body is larger than this server takes (${limit} bytes).`);
    }
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new RedllmError(
        'unsupported_media_type',
        'The body must be JSON, sent with Content-Type: application/json.',
      );
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return new RedllmError('invalid_json', 'The body is not as long as its Content-Length says.');
    case 'FST_ERR_BAD_URL':
    case 'FST_ERR_ASYNC_CONSTRAINT':
      return new RedllmError('not_found', 'The path is not a valid URL.');
  }
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return new RedllmError('invalid_value', message ?? 'The request is not valid.');
  return thrown;
}

/** The error to send; a fault of ours is written to the log, and only there in full. */
export function report(thrown: unknown, log: FastifyBaseLogger): RedllmError {
  const error = asRedllmError(thrown);
  if (error.code === 'internal') log.error({ err: error.cause ?? error }, 'a request failed');
  return error;
}

export function sendError(thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const error = report(translate(thrown, request), request.log);
  reply.code(error.status);
  if (error.retryAfter !== null) reply.header('retry-after', String(Math.ceil(error.retryAfter)));
  else if (error.status === 429) reply.header('retry-after', '1');
  // OpenAI's clients retry whatever is 500 or more, and this would take as long again.
  if (error.code === 'deadline_exceeded') reply.header('x-should-retry', 'false');
  if (error.status === 401) reply.header('www-authenticate', 'Bearer');
  // The rest of a body that is too large is read and thrown away, so that the client, still sending, gets to see this answer.
  if (error.status === 413) reply.removeHeader('connection');
  reply.send(error.toJSON());
}

/** Sends every error as the envelope: thrown by a handler, by fastify, or for want of a route. */
export function handleErrors(app: FastifyInstance): void {
  const routes: { method: string; pattern: RegExp }[] = [];
  app.addHook('onRoute', route => {
    const pattern = new RegExp(`^${route.url.replace(/[.]/g, '\\.').replace('*', '.+')}$`);
    for (const method of [route.method].flat()) routes.push({ method, pattern });
  });
  app.setErrorHandler((error, request, reply) => sendError(error, request, reply));
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0]!;
    const methods = routes.filter(route => route.pattern.test(path)).map(route => route.method);
    if (methods.length === 0) {
      sendError(new RedllmError('not_found', `There is nothing at ${request.method} ${path}.`), request, reply);
      return;
    }
    reply.header('allow', [...new Set(methods)].join(', '));
    sendError(methodNotAllowed(request.method, path, methods), request, reply);
  });
}

export function methodNotAllowed(method: string, path: string, allowed: readonly string[]): RedllmError {
  return new RedllmError('method_not_allowed', `${path} takes ${[...new Set(allowed)].join(' or ')}, not ${method}.`);
}

/** For requests that never became one: what Node's parser refuses. */
export function refuseMalformed(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const status = error.code === 'HPE_HEADER_OVERFLOW' ? 431 : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400;
  const body = JSON.stringify(new RedllmError('invalid_value', `This is not a valid HTTP request (${error.message}).`));
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: application/json\r\nconnection: close\r\n`;
  socket.end(`${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

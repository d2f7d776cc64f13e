/** The HTTP server: its routes, and what holds for all of them. */
import { randomUUID } from 'node:crypto';
import websocket from '@fastify/websocket';
import fastify, { type FastifyInstance, LogController } from 'fastify';
import { answer } from './answer.ts';
import { clientOf, requireKey } from './auth.ts';
import { acceptJson } from './body.ts';
import type { CallReader, ServerContext } from './call.ts';
import { readChat } from './chat.ts';
import { readCompletion } from './completions.ts';
import type { EngineLike, GeneratorLike } from './contracts.ts';
import { Drain } from './drain.ts';
import { handleErrors, methodNotAllowed, refuseMalformed, sendError } from './error-handler.ts';
import { healthRoutes } from './health.ts';
import { metered } from './metered.ts';
import { Metrics } from './metrics.ts';
import { modelRoutes } from './models.ts';
import { defaultServerOptions, type ServerOptions } from './options.ts';
import { readScore } from './score.ts';
import { SocketSession } from './socket.ts';
import { tokenizeRoutes } from './tokenize.ts';
import { HttpRequest } from './upgrades.ts';

/** Milliseconds that connections get to end by themselves once no request is at work. */
const LAST_BYTES = 1000;
/** Milliseconds in which a client must have sent the whole of its request. */
const WHOLE_REQUEST = 60_000;

export interface App {
  readonly fastify: FastifyInstance;
  readonly drain: Drain;
  readonly metrics: Metrics;
  /** Refuses new requests, lets the running ones end within `shutdownTimeout`, then closes every connection. */
  close(): Promise<void>;
}

/** Builds the server; the caller listens, and closes generator and engine after it. */
export async function buildApp(parts: {
  generator: GeneratorLike;
  engine: EngineLike;
  options?: Partial<ServerOptions>;
}): Promise<App> {
  const options = { ...defaultServerOptions, ...parts.options };
  const metrics = new Metrics();
  const drain = new Drain(Math.max(1, Math.ceil(options.shutdownTimeout / 1000)));
  const context: ServerContext = { generator: metered(parts.generator, metrics), metrics, drain, options };
  const app = fastify({
    logger: options.logLevel === 'silent' ? false : { level: options.logLevel },
    logController: new LogController({ disableRequestLogging: !['debug', 'trace'].includes(options.logLevel) }),
    bodyLimit: options.bodyLimit,
    requestTimeout: WHOLE_REQUEST,
    http: { IncomingMessage: HttpRequest },
    genReqId: () => randomUUID(),
    clientErrorHandler: refuseMalformed,
    frameworkErrors: sendError,
  });
  handleErrors(app);
  acceptJson(app);
  app.addHook('onSend', async (request, reply) => {
    reply.header('x-request-id', request.id);
    if (drain.draining) reply.header('connection', 'close');
  });
  await app.register(websocket, {
    options: { maxPayload: options.bodyLimit },
    // ws answers what breaks the protocol with the close code that fits; there is nothing to add but a trace of it.
    errorHandler: (error, _socket, request) => request.log.debug({ err: error }, 'a socket failed'),
    preClose: done => {
      for (const client of app.websocketServer.clients) {
        client.close(1001, 'The server is shutting down.');
        setTimeout(() => client.terminate(), 1000).unref();
      }
      done();
    },
  });

  // After the WebSocket plugin's own hook, which marks upgrades: a refused one is closed only where it is marked.
  requireKey(app, options.apiKeys);
  healthRoutes(app, context, parts.engine);
  modelRoutes(app, context);
  tokenizeRoutes(app, context);
  textRoutes(app, context, '/v1/completions', readCompletion);
  textRoutes(app, context, '/v1/chat/completions', readChat);
  app.post('/v1/score', async (request, reply) => {
    if (drain.draining) throw drain.refusal();
    return answer(context, readScore(context, request.body, clientOf(request)), request, reply);
  });
  await app.ready();
  const close = async () => {
    await drain.drain(options.shutdownTimeout);
    // Sockets that never sent a whole request are not idle to Node, and would keep the server open for as long as they like.
    const cut = setTimeout(() => app.server.closeAllConnections(), LAST_BYTES);
    await app.close();
    clearTimeout(cut);
  };
  return { fastify: app, drain, metrics, close };
}

/** One endpoint through two doors: POST, and GET that upgrades to a WebSocket. */
function textRoutes(app: FastifyInstance, context: ServerContext, url: string, read: CallReader): void {
  app.post(url, async (request, reply) => {
    // Before the body is read any further: a server that goes away refuses everything alike.
    if (context.drain.draining) throw context.drain.refusal();
    return answer(context, read(context, request.body, clientOf(request)), request, reply);
  });
  app.route({
    method: 'GET',
    url,
    preHandler: async () => {
      if (context.drain.draining) throw context.drain.refusal();
    },
    handler: async (request, reply) => {
      reply.header('allow', 'POST');
      throw methodNotAllowed(request.method, url, ['POST', 'GET with an upgrade to WebSocket']);
    },
    wsHandler: (socket, request) => {
      const client = clientOf(request);
      new SocketSession(socket, context, (of, body) => read(of, body, client), request.log);
    },
  });
}

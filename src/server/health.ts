/** What a supervisor and a router ask: /health (is the process of use), /ready (may it get new requests), /version, /metrics. */
import type { FastifyInstance } from 'fastify';
import { RedllmError } from '../errors.ts';
import type { ServerContext } from './call.ts';
import type { EngineLike } from './contracts.ts';
import { version } from './version.ts';

export function healthRoutes(app: FastifyInstance, { drain, metrics }: ServerContext, engine: EngineLike): void {
  const alive = () => {
    if (engine.dead) throw new RedllmError('engine_dead', 'The engine has stopped; the server has to be started anew.');
    return { status: 'ok' };
  };

  app.get('/health', async () => alive());
  app.get('/ready', async () => {
    if (drain.draining) throw drain.refusal();
    return alive();
  });
  app.get('/version', async () => ({ version }));
  app.get('/metrics', async (_request, reply) => {
    // Of a dead engine the last known numbers are shown.
    if (!engine.dead) metrics.update(await engine.stats());
    reply.header('content-type', metrics.registry.contentType);
    return metrics.registry.metrics();
  });
}

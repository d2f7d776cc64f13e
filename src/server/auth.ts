/** The API key: `Authorization: Bearer KEY` on every route but /health. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { RedllmError } from '../errors.ts';

const digest = (text: string) => createHash('sha256').update(text).digest();

/** Of this process alone, so that a client's name says nothing about its key, here or anywhere else. */
const salt = randomBytes(16);

const clients = new WeakMap<FastifyRequest, string>();

/** A short name for whoever holds the key that the request came with; null: this server asks for none. */
export function clientOf(request: FastifyRequest): string | null {
  return clients.get(request) ?? null;
}

/** Digests have one length and every key is compared, so that the time taken says nothing about a key. */
function matches(given: string, keys: readonly Buffer[]): boolean {
  const wanted = digest(given);
  let found = false;
  for (const key of keys) found = timingSafeEqual(key, wanted) || found;
  return found;
}

export function requireKey(app: FastifyInstance, apiKeys: readonly string[]): void {
  if (apiKeys.length === 0) return;
  const keys = apiKeys.map(digest);
  app.addHook('onRequest', async request => {
    if (request.routeOptions.url === '/health') return;
    const given = /^Bearer +(.*)$/i.exec(request.headers.authorization ?? '')?.[1];
    if (given === undefined)
      throw new RedllmError('invalid_api_key', 'This server asks for an API key: Authorization: Bearer KEY.');
    if (!matches(given, keys)) throw new RedllmError('invalid_api_key', 'The API key is not one of this server.');
    clients.set(request, createHash('sha256').update(salt).update(given).digest('hex').slice(0, 16));
  });
}

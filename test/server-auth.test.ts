import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { type FakeServer, fakeServer } from './fixtures/fake-generator.ts';

let server: FakeServer;
before(async () => {
  server = await fakeServer({ apiKeys: ['first-key', 'second-key'] });
});
after(() => server.close());

let address: Promise<string> | undefined;
const listening = () => (address ??= server.listen());

const get = (url: string, authorization?: string) =>
  server.fastify.inject({ url, headers: authorization ? { authorization } : {} });

test('every route but /health asks for a key', async () => {
  assert.equal((await get('/health')).statusCode, 200);
  for (const url of ['/v1/models', '/metrics', '/ready', '/version', '/v1/completions', '/nowhere', '/health/'])
    assert.equal((await get(url)).statusCode, 401, url);
  const refused = await server.fastify.inject({
    method: 'POST',
    url: '/v1/completions',
    payload: { model: 'echo', prompt: 'a' },
  });
  assert.equal(refused.statusCode, 401);
  assert.equal(refused.json().error.code, 'invalid_api_key');
  assert.equal(refused.headers['www-authenticate'], 'Bearer');
});

test('any of the keys opens, another does not', async () => {
  assert.equal((await get('/v1/models', 'Bearer first-key')).statusCode, 200);
  assert.equal((await get('/v1/models', 'bearer second-key')).statusCode, 200);
  for (const wrong of ['Bearer first-key2', 'Bearer first', 'Bearer ', 'Basic first-key', 'first-key'])
    assert.equal((await get('/v1/models', wrong)).statusCode, 401, wrong);
});

test('a WebSocket without a key is refused before it is one', async () => {
  const url = `${(await listening()).replace('http', 'ws')}/v1/completions`;
  const status = await new Promise(resolve => {
    new WebSocket(url)
      .on('unexpected-response', (_request, response) => resolve(response.statusCode))
      .on('error', () => {});
  });
  assert.equal(status, 401);
  const open = new WebSocket(url, { headers: { authorization: 'Bearer first-key' } });
  await new Promise((resolve, reject) => open.on('open', resolve).on('error', reject));
  open.close();
});

test('who holds a key has one name for all requests, and it is not the key', async () => {
  const ask = async (key: string, url: string, body: object) =>
    server.fastify.inject({
      method: 'POST',
      url,
      payload: body,
      headers: { authorization: `Bearer ${key}` },
    });
  await ask('first-key', '/v1/completions', { model: 'echo', prompt: ['a', 'b'], client: 'forged' });
  await ask('second-key', '/v1/completions', { model: 'echo', prompt: 'a' });
  await ask('first-key', '/v1/chat/completions', { model: 'chatty', messages: [{ role: 'user', content: 'x' }] });
  const [first, again, second, chat] = server.generator.requests.slice(-4).map(({ client }) => client);
  assert.match(first!, /^[0-9a-f]{16}$/);
  assert.deepEqual([again, chat], [first, first]);
  assert.notEqual(second, first);
  const url = `${(await listening()).replace('http', 'ws')}/v1/completions`;
  const socket = new WebSocket(url, { headers: { authorization: 'Bearer first-key' } });
  await new Promise(resolve => socket.on('open', resolve));
  const answered = new Promise(resolve => socket.once('message', resolve));
  socket.send(JSON.stringify({ type: 'create', id: 1, model: 'echo', prompt: 'a' }));
  await answered;
  socket.close();
  assert.equal(server.generator.requests.at(-1)!.client, first);
});

test('without keys nobody in particular asks', async () => {
  const open = await fakeServer();
  await open.fastify.inject({
    method: 'POST',
    url: '/v1/completions',
    payload: { model: 'echo', prompt: 'a' },
    headers: { authorization: 'Bearer whatever' },
  });
  assert.equal(open.generator.requests[0]!.client, undefined);
  await open.close();
});

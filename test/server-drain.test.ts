import assert from 'node:assert/strict';
import { test } from 'node:test';
import WebSocket from 'ws';
import { type FakeServer, fakeServer, until } from './fixtures/fake-generator.ts';

async function streaming(server: FakeServer, url: string, count: number) {
  server.generator.delay = 10;
  server.generator.repeats = count;
  const response = fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'echo', prompt: 'x', max_tokens: count, stream: true }),
  });
  await until(() => server.generator.running === 1);
  return (await response).text();
}

test('while the server drains, running streams end well, new requests are refused, and it stays healthy but not ready', async () => {
  const server = await fakeServer({ shutdownTimeout: 5000 });
  const url = await server.listen();
  const stream = streaming(server, url, 30);
  await until(() => server.generator.running === 1);
  const closed = server.close();
  assert.equal((await fetch(`${url}/health`)).status, 200);
  const ready = await fetch(`${url}/ready`);
  assert.equal(ready.status, 503);
  const refused = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'echo', prompt: 'x' }),
  });
  assert.deepEqual([refused.status, refused.headers.get('retry-after')], [503, '5']);
  assert.equal(((await refused.json()) as { error: { code: string } }).error.code, 'draining');
  assert.ok((await stream).endsWith('data: [DONE]\n\n'));
  await closed;
  await assert.rejects(fetch(`${url}/health`));
});

test('streams that outlast the timeout are told so and cut', async () => {
  const server = await fakeServer({ shutdownTimeout: 50 });
  const url = await server.listen();
  const stream = streaming(server, url, 1000);
  await until(() => server.generator.running === 1);
  await server.close();
  const events = (await stream).trim().split('\n\n');
  assert.match(events.at(-1)!, /^data: \{"error":.*"code":"draining"\}\}$/);
  assert.equal(server.generator.running, 0);
});

test('an idle WebSocket is closed with 1001 at once, a busy one when its requests have ended', async () => {
  const server = await fakeServer({ shutdownTimeout: 5000 });
  const url = `${(await server.listen()).replace('http', 'ws')}/v1/completions`;
  const open = () =>
    new Promise<WebSocket>((resolve, reject) => {
      const socket: WebSocket = new WebSocket(url).on('open', () => resolve(socket)).on('error', reject);
    });
  const closing = (socket: WebSocket) => new Promise<number>(resolve => socket.on('close', resolve));
  const [idle, busy] = [await open(), await open()];
  const frames: { type: string; error?: { code: string } }[] = [];
  busy.on('message', data => frames.push(JSON.parse(String(data))));
  server.generator.delay = 10;
  server.generator.repeats = 20;
  busy.send(JSON.stringify({ type: 'create', id: 'a', model: 'echo', prompt: 'x', max_tokens: 20 }));
  await until(() => server.generator.running === 1);
  const codes = [closing(idle), closing(busy)];
  const closed = server.close();
  assert.equal(await codes[0], 1001);
  busy.send(JSON.stringify({ type: 'create', id: 'b', model: 'echo', prompt: 'x' }));
  assert.equal(await codes[1], 1001);
  assert.equal(frames.filter(frame => frame.type === 'chunk').length, 20);
  assert.deepEqual(
    frames.filter(frame => frame.type === 'error').map(frame => frame.error?.code),
    ['draining'],
  );
  assert.equal(frames.at(-1)?.type, 'done');
  await closed;
});

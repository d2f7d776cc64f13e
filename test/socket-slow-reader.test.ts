import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import WebSocket from 'ws';
import { fakeServer, until } from './fixtures/fake-generator.ts';

const limits = { socketBuffer: 64 * 1024, slowReaderTimeout: 300 };

/** About 1 GB of frames: more than any kernel holds for a reader that does not read. */
const endless = { model: 'echo', prompt: 'xxxxxxxx', max_tokens: Number.MAX_SAFE_INTEGER };

async function rawSocket(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const raw = connect(Number(port), hostname);
  await new Promise(resolve => raw.once('connect', resolve));
  return raw;
}

/** A whole frame, masked with zeros. */
function frame(object: object): Buffer {
  const payload = Buffer.from(JSON.stringify(object));
  return Buffer.concat([
    Buffer.from([0x81, 0x80 | 126, payload.length >> 8, payload.length & 255, 0, 0, 0, 0]),
    payload,
  ]);
}

test('a WebSocket that does not read is bounded, cut off, and holds up nobody', async () => {
  const server = await fakeServer(limits);
  server.generator.unbounded = true;
  server.generator.repeats = 1_000_000;
  const url = await server.listen();
  const raw = await rawSocket(url);
  const key = Buffer.alloc(16).toString('base64');
  raw.write(
    `GET /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
  );
  await new Promise(resolve => raw.once('data', resolve));
  raw.pause();
  raw.write(frame({ type: 'create', id: 'x', ...endless }));
  await until(() => server.generator.running === 1);
  // Another client is served while the slow one is waited for.
  const other = new WebSocket(`${url.replace('http', 'ws')}/v1/completions`);
  await new Promise(resolve => other.on('open', resolve));
  const done = new Promise(resolve =>
    other.on('message', data => JSON.parse(String(data)).type === 'done' && resolve(true)),
  );
  other.send(JSON.stringify({ type: 'create', id: 'y', model: 'echo', prompt: 'ab', max_tokens: 50 }));
  assert.ok(await done);
  await until(() => server.generator.running === 0);
  const heap = process.memoryUsage().heapUsed;
  assert.ok(heap < 300e6, `${heap} bytes of heap`);
  other.terminate();
  raw.destroy();
  await server.close();
});

test('a reader that pauses for less than the limit gets everything', async () => {
  const server = await fakeServer({ ...limits, slowReaderTimeout: 5000 });
  server.generator.unbounded = true;
  server.generator.repeats = 20_000;
  const url = (await server.listen()).replace('http', 'ws');
  const socket = new WebSocket(`${url}/v1/completions`);
  await new Promise(resolve => socket.on('open', resolve));
  let length = 0;
  const done = new Promise(resolve =>
    socket.on('message', data => {
      const { type, data: chunk } = JSON.parse(String(data));
      if (type === 'chunk') length += chunk.choices[0].text.length;
      if (type === 'done') resolve(true);
    }),
  );
  socket.send(JSON.stringify({ type: 'create', id: 'x', model: 'echo', prompt: 'xy', max_tokens: 40_000 }));
  await until(() => length > 0);
  socket.pause();
  await sleep(300);
  socket.resume();
  await done;
  assert.equal(length, 40_000);
  socket.terminate();
  await server.close();
});

test('an event stream that is not read is cut off as well', async () => {
  const server = await fakeServer(limits);
  server.generator.unbounded = true;
  server.generator.repeats = 1_000_000;
  const raw = await rawSocket(await server.listen());
  const body = JSON.stringify({ ...endless, stream: true });
  raw.write(
    `POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  raw.pause();
  await until(() => server.generator.running === 1);
  await until(() => server.generator.running === 0 && server.drain.running === 0);
  raw.destroy();
  await server.close();
});

test('a peer that answers no ping is dropped, with its requests', async () => {
  const server = await fakeServer({ heartbeat: 50 });
  server.generator.delay = 5;
  server.generator.repeats = 1000;
  const url = (await server.listen()).replace('http', 'ws');
  const [dead, alive] = [
    new WebSocket(`${url}/v1/completions`, { autoPong: false }),
    new WebSocket(`${url}/v1/completions`),
  ];
  const isOpen = (socket: WebSocket) => new Promise(resolve => socket.on('open', resolve));
  await Promise.all([isOpen(dead), isOpen(alive)]);
  const closed = new Promise(resolve => dead.on('close', resolve));
  dead.send(JSON.stringify({ type: 'create', id: 'x', model: 'echo', prompt: 'abc', max_tokens: 1000 }));
  assert.equal(await closed, 1006);
  await until(() => server.generator.running === 0);
  assert.equal(alive.readyState, WebSocket.OPEN);
  alive.terminate();
  await server.close();
});

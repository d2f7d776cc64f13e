/** What clients leave open does not keep the server from its end. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { fakeServer } from './fixtures/fake-generator.ts';

/** A socket that has sent `text` and reads nothing. */
async function sent(t: TestContext, url: string, text: string): Promise<Socket> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.on('error', () => {});
  t.after(() => socket.destroy());
  await once(socket, 'connect');
  if (text) socket.write(text);
  socket.pause();
  return socket;
}

function post(body: object, length?: number): string {
  const text = JSON.stringify(body);
  const head = 'POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n';
  return `${head}content-length: ${length ?? text.length}\r\n\r\n${text}`;
}

/** Fails where the server has not closed within `limit` ms; without the limit it would never. */
async function closes(closing: Promise<void>, limit: number): Promise<void> {
  const late = Symbol();
  const timer = new Promise(resolve => setTimeout(resolve, limit, late).unref());
  assert.notEqual(await Promise.race([closing, timer]), late, 'the server did not close');
}

test('sockets that never sent a whole request', async t => {
  const server = await fakeServer({ shutdownTimeout: 100 });
  const url = await server.listen();
  await sent(t, url, '');
  await sent(t, url, 'POST /v1/completions HTTP/1.1\r\nhost:');
  await sent(t, url, post({ model: 'echo' }, 1000));
  await closes(server.close(), 5000);
});

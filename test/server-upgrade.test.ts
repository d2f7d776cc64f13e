/** An offer to speak another protocol than WebSocket is left unanswered, and the request is served. */
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { type FakeServer, fakeServer } from './fixtures/fake-generator.ts';

let server: FakeServer;
let url: string;
before(async () => {
  server = await fakeServer();
  url = await server.listen();
});
after(() => server.close());

/** As curl --http2 sends it. */
const offer = { connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': 'AAMAAABkAAQCAAAAAAIAAAAA' };

function ask(method: string, path: string, headers: Record<string, string>, body?: string) {
  return new Promise<{ status: number | undefined; body: string }>((resolve, reject) => {
    request(`${url}${path}`, { method, headers }, response => {
      let text = '';
      response.setEncoding('utf8').on('data', part => {
        text += part;
      });
      response.on('end', () => resolve({ status: response.statusCode, body: text }));
    })
      .on('error', reject)
      .end(body);
  });
}

test('a client that offers h2c is served in HTTP/1.1, with a body and without', async () => {
  assert.equal((await ask('GET', '/health', offer)).status, 200);
  const body = JSON.stringify({ model: 'echo', prompt: 'x'.repeat(500), max_tokens: 500 });
  const json = { 'content-type': 'application/json' };
  for (const headers of [
    { ...offer, ...json, 'content-length': String(body.length) },
    { ...offer, ...json, 'transfer-encoding': 'chunked' },
  ]) {
    const answer = await ask('POST', '/v1/completions', headers, body);
    assert.equal(answer.status, 200, answer.body);
    assert.equal(JSON.parse(answer.body).choices[0].text, 'x'.repeat(500));
  }
  assert.equal((await ask('GET', '/v1/completions', offer)).status, 405);
  assert.equal((await ask('GET', '/v1/models', { connection: 'upgrade', upgrade: 'TLS/1.0' })).status, 200);
});

test('WebSockets are what they were', async () => {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/completions`);
  await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject));
  const answered = new Promise(resolve => socket.once('message', data => resolve(JSON.parse(String(data)).type)));
  socket.send(JSON.stringify({ type: 'create', id: 1, model: 'echo', prompt: 'a' }));
  assert.equal(await answered, 'chunk');
  socket.close();
});

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import WebSocket from 'ws';
import { type FakeServer, fakeServer, until } from './fixtures/fake-generator.ts';

interface Frame {
  type: string;
  id: string | number | null;
  data?: {
    object: string;
    choices: { index: number; text?: string; delta?: { content?: string }; finish_reason: string | null }[];
  };
  usage?: object;
  error?: { code: string; param: string | null; message: string };
}

let server: FakeServer;
let url: string;
let socket: WebSocket;
let frames: Frame[];

before(async () => {
  server = await fakeServer({ maxSocketRequests: 3 });
  url = (await server.listen()).replace('http', 'ws');
});
beforeEach(async () => {
  server.generator.delay = 0;
  server.generator.repeats = 1;
  server.generator.failAfter = Number.POSITIVE_INFINITY;
  socket = await open('/v1/completions');
});
afterEach(async () => {
  socket.terminate();
  await until(() => server.drain.running === 0);
});
after(() => server.close());

async function open(path: string): Promise<WebSocket> {
  const opened = new WebSocket(url + path);
  const received: Frame[] = [];
  frames = received;
  opened.on('message', data => received.push(JSON.parse(String(data))));
  await new Promise((resolve, reject) => opened.on('open', resolve).on('error', reject));
  return opened;
}

const send = (frame: object) => socket.send(JSON.stringify(frame));
const create = (id: string | number | null, fields: object = {}) =>
  send({ type: 'create', id, model: 'echo', prompt: 'abc', ...fields });
const of = (id: string | number | null) => frames.filter(frame => frame.id === id);
const ended = (id: string | number) => until(() => of(id).some(({ type }) => type === 'done' || type === 'error'));

/** The one answer to what was just sent; then the socket must still serve. */
async function onlyError(): Promise<Frame> {
  await until(() => frames.length > 0);
  create('alive', { prompt: 'ok' });
  await ended('alive');
  assert.equal(of('alive').at(-1)?.type, 'done', 'the socket lives on');
  const errors = frames.filter(({ type }) => type === 'error');
  assert.equal(errors.length, 1);
  return errors[0]!;
}

test('many requests share a socket; each has its chunks under its id, then done with its usage', async () => {
  server.generator.delay = 1;
  create('one', { prompt: 'first' });
  create(2, { prompt: 'second' });
  await Promise.all([ended('one'), ended(2)]);
  for (const [id, text] of [
    ['one', 'first'],
    [2, 'second'],
  ] as const) {
    const chunks = of(id).filter(({ type }) => type === 'chunk');
    assert.equal(chunks.map(({ data }) => data?.choices[0]?.text).join(''), text);
    assert.equal(chunks.at(-1)?.data?.choices[0]?.finish_reason, 'stop');
    assert.deepEqual(of(id).at(-1), {
      type: 'done',
      id,
      usage: {
        prompt_tokens: text.length,
        completion_tokens: text.length,
        total_tokens: 2 * text.length,
        prompt_tokens_details: { cached_tokens: 2 },
      },
    });
  }
  const ids = frames.map(({ id }) => id);
  assert.ok(ids.indexOf(2) < ids.lastIndexOf('one'), 'their chunks are interleaved');
});

test('chat has a socket of its own, with the chunks of its stream', async () => {
  socket.terminate();
  socket = await open('/v1/chat/completions');
  send({
    type: 'create',
    id: 'c',
    model: 'chatty',
    messages: [{ role: 'user', content: 'hi' }],
    stream_options: { include_usage: true },
  });
  await ended('c');
  const chunks = of('c').filter(({ type }) => type === 'chunk');
  assert.ok(chunks.every(({ data }) => data?.object === 'chat.completion.chunk'));
  assert.equal(chunks.map(({ data }) => data?.choices[0]?.delta?.content ?? '').join(''), '[user]hi[assistant]');
  assert.deepEqual(chunks.at(-1)?.data?.choices, []);
});

test('an id may be used again once its request has ended', async () => {
  create('again');
  await ended('again');
  frames.length = 0;
  create('again');
  await ended('again');
  assert.equal(of('again').at(-1)?.type, 'done');
});

test('cancel ends a request, with an error frame that says so', async () => {
  server.generator.delay = 2;
  server.generator.repeats = 500;
  create('long', { max_tokens: 1000 });
  await until(() => of('long').length > 2);
  send({ type: 'cancel', id: 'long' });
  await ended('long');
  assert.deepEqual([of('long').at(-1)?.type, of('long').at(-1)?.error?.code], ['error', 'cancelled']);
  await until(() => server.generator.running === 0);
});

const wrong: [string, string | Buffer, string, string | null, (string | number)?][] = [
  ['a frame that is not JSON', 'hello', 'invalid_json', null],
  ['an empty frame', '', 'invalid_json', null],
  ['a binary frame', Buffer.from('{"type":"create","id":"x"}'), 'invalid_value', null],
  ['a frame that is no object', '[]', 'invalid_value', null],
  ['a frame without a type', '{"id":"x"}', 'invalid_value', 'type', 'x'],
  ['a type that does not exist', '{"type":"delete","id":"x"}', 'invalid_value', 'type', 'x'],
  ['a frame without an id', '{"type":"create","model":"echo","prompt":"a"}', 'invalid_value', 'id'],
  ['an id that is none', '{"type":"create","id":{},"model":"echo","prompt":"a"}', 'invalid_value', 'id'],
  ['a cancel for an id that does not exist', '{"type":"cancel","id":"nobody"}', 'not_found', 'id', 'nobody'],
  ['a wrong field', '{"type":"create","id":"x","model":"echo","prompt":"a","n":1000}', 'invalid_value', 'n', 'x'],
  ['an unknown model', '{"type":"create","id":7,"model":"no","prompt":"a"}', 'model_not_found', 'model', 7],
  [
    'a token id out of range',
    '{"type":"create","id":"x","model":"echo","prompt":[9999]}',
    'invalid_value',
    'prompt',
    'x',
  ],
  [
    'stream: false',
    '{"type":"create","id":"x","model":"echo","prompt":"a","stream":false}',
    'invalid_value',
    'stream',
    'x',
  ],
];

for (const [what, frame, code, param, id = null] of wrong)
  test(`${what} is answered with an error frame, and the socket lives on`, async () => {
    socket.send(frame);
    const error = await onlyError();
    assert.deepEqual([error.id, error.error?.code, error.error?.param], [id, code, param]);
  });

test('an id in use is refused, and the request that has it goes on', async () => {
  server.generator.delay = 5;
  create('x');
  create('x');
  await until(() => of('x').some(({ type }) => type === 'done'));
  const [error] = of('x').filter(({ type }) => type === 'error');
  assert.deepEqual([error?.error?.code, error?.error?.param], ['invalid_value', 'id']);
  assert.equal(of('x').filter(({ type }) => type === 'chunk').length, 3);
});

test('a socket runs so many requests at a time, and no more', async () => {
  server.generator.delay = 10;
  for (const id of ['a', 'b', 'c', 'd']) create(id);
  await ended('d');
  assert.equal(of('d').at(-1)?.error?.code, 'queue_full');
  await Promise.all(['a', 'b', 'c'].map(ended));
  assert.ok(['a', 'b', 'c'].every(id => of(id).at(-1)?.type === 'done'));
});

test('an error in mid-stream ends its request alone', async () => {
  server.generator.failAfter = 1;
  create('x');
  await ended('x');
  assert.deepEqual(
    of('x').map(({ type }) => type),
    ['chunk', 'error'],
  );
  assert.equal(of('x').at(-1)?.error?.code, 'internal');
});

test('a socket that closes cancels its requests', async () => {
  server.generator.delay = 2;
  server.generator.repeats = 500;
  create('a', { max_tokens: 1000 });
  create('b', { max_tokens: 1000 });
  await until(() => server.generator.running === 2);
  socket.terminate();
  await until(() => server.generator.running === 0);
});

test('a socket cut in mid-frame takes its requests with it and harms nobody else', async () => {
  server.generator.delay = 2;
  server.generator.repeats = 500;
  const { hostname, port } = new URL(url);
  const raw = connect(Number(port), hostname);
  const handshake = `GET /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${Buffer.alloc(16).toString('base64')}\r\n\r\n`;
  raw.write(handshake);
  await new Promise(resolve => raw.once('data', resolve));
  const frame = (text: string) => {
    const payload = Buffer.from(text);
    const head = Buffer.from([0x81, 0x80 | 126, payload.length >> 8, payload.length & 255, 0, 0, 0, 0]);
    return Buffer.concat([head, payload]);
  };
  raw.write(frame(JSON.stringify({ type: 'create', id: 'x', model: 'echo', prompt: 'abc', max_tokens: 1000 })));
  await until(() => server.generator.running === 1);
  raw.write(frame(JSON.stringify({ type: 'create', id: 'y', model: 'echo', prompt: 'abc' })).subarray(0, 20));
  await new Promise<void>(resolve => raw.end(resolve));
  raw.destroy();
  await until(() => server.generator.running === 0);
  server.generator.delay = 0;
  server.generator.repeats = 1;
  create('other');
  await ended('other');
  assert.equal(of('other').at(-1)?.type, 'done');
});

test('a frame that breaks the protocol closes its own socket alone', async () => {
  const broken = new WebSocket(`${url}/v1/completions`);
  await new Promise(resolve => broken.on('open', resolve));
  const closed = new Promise(resolve => broken.on('close', resolve));
  // A text frame whose bytes are not UTF-8.
  broken.send(Buffer.from([0xff, 0xfe]), { binary: false });
  assert.equal(await closed, 1007);
  create('other');
  await ended('other');
});

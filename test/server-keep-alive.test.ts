/** A stream that waits says so in comments, which are no events. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { RedllmError } from '../src/errors.ts';
import { type FakeServer, fakeServer } from './fixtures/fake-generator.ts';

let server: FakeServer;
let url: string;
before(async () => {
  server = await fakeServer({ keepAlive: 30 });
  url = await server.listen();
});
after(() => server.close());

const stream = (prompt: string) =>
  fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'echo', prompt, stream: true }),
  });

test('comments come before the first event and between events, and the events are the same', async () => {
  server.generator.delay = 100;
  const response = await stream('ab');
  assert.equal(response.status, 200);
  assert.match(response.headers.get('x-request-id') ?? '', /./);
  const parts = (await response.text()).split('\n\n');
  assert.equal(parts.pop(), '');
  assert.equal(parts[0], ': keep-alive');
  const kinds = parts.map(part => (part === ': keep-alive' ? 'c' : 'e')).join('');
  assert.match(kinds, /^c+ec+ee$/);
  assert.equal(parts.at(-1), 'data: [DONE]');
  server.generator.delay = 0;
});

test('a client of OpenAI takes no notice', async () => {
  server.generator.delay = 100;
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
  let text = '';
  for await (const chunk of await client.completions.create({ model: 'echo', prompt: 'ab', stream: true }))
    text += chunk.choices[0]?.text ?? '';
  assert.equal(text, 'ab');
  server.generator.delay = 0;
});

test('what fails while it waits is an event once a comment has gone out, else a status', async () => {
  server.generator.failAfter = 0;
  server.generator.failure = new RedllmError('deadline_exceeded', 'The request took longer than it was given.');
  assert.equal((await stream('a')).status, 504);
  server.generator.delay = 100;
  const late = await stream('a');
  assert.equal(late.status, 200);
  const parts = (await late.text()).split('\n\n').filter(part => part !== ': keep-alive');
  assert.match(parts[0]!, /^data: \{"error":.*"code":"deadline_exceeded"/);
  assert.deepEqual(parts.slice(1), ['']);
  server.generator.delay = 0;
  server.generator.failAfter = Number.POSITIVE_INFINITY;
});

test('a client that leaves while it is told to wait cancels its request', async () => {
  server.generator.delay = 10_000;
  const before = server.generator.cancelled;
  const response = await stream('a');
  await response.body!.cancel();
  while (server.generator.cancelled === before) await new Promise(resolve => setTimeout(resolve, 5));
  server.generator.delay = 0;
});

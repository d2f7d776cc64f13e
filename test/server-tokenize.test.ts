/** /tokenize and /detokenize take no more than they can do beside the streams. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type FakeServer, fakeServer, until } from './fixtures/fake-generator.ts';

let server: FakeServer;
before(async () => {
  server = await fakeServer({ requestTimeout: 5000 });
});
after(() => server.close());

const post = async (url: string, payload: object) => {
  const response = await server.fastify.inject({ method: 'POST', url, payload });
  return { status: response.statusCode, json: response.json() };
};

type Tokenize = typeof server.generator.tokenize;

/** What the generator was asked. */
async function asked(payload: object): Promise<Parameters<Tokenize>[0]> {
  const { generator } = server;
  const { tokenize } = generator;
  let seen: Parameters<Tokenize>[0] | undefined;
  generator.tokenize = request => {
    seen = request;
    return tokenize.call(generator, request);
  };
  await post('/tokenize', payload).finally(() => (generator.tokenize = tokenize));
  return seen!;
}

test('texts of tokens are made where they are asked for alone', async () => {
  const messages = [{ role: 'u', content: 'x' }];
  for (const payload of [
    { model: 'echo', prompt: 'ab' },
    { model: 'chatty', messages },
  ]) {
    assert.equal((await asked(payload)).texts, false);
    assert.equal((await asked({ ...payload, return_token_strs: true })).texts, true);
  }
  assert.equal((await asked({ model: 'echo', prompt: 'ab' })).timeout, 5000);
});

test('a text beyond what is tokenised is refused by its field', async () => {
  const content = 'x'.repeat((1 << 20) + 1);
  const { status, json } = await post('/tokenize', { model: 'echo', prompt: content });
  assert.deepEqual([status, json.error.code, json.error.param], [400, 'invalid_value', 'prompt']);
  assert.match(json.error.message, /1048577 characters.* 1048576 /);
  const chat = await post('/tokenize', { model: 'chatty', messages: [{ role: 'u', content }] });
  assert.deepEqual([chat.status, chat.json.error.param], [400, 'messages']);
});

test('more ids than are decoded are refused', async () => {
  const tokens = Array.from({ length: 16_385 }, () => 100);
  const { status, json } = await post('/detokenize', { model: 'echo', tokens });
  assert.deepEqual([status, json.error.code, json.error.param], [400, 'invalid_value', 'tokens']);
});

test('a client that goes away ends its tokenising', async () => {
  const url = await server.listen();
  const { generator } = server;
  const { tokenize } = generator;
  let signal: AbortSignal | undefined;
  generator.tokenize = request => {
    signal = request.signal;
    return new Promise(() => {});
  };
  try {
    const client = new AbortController();
    const answer = fetch(`${url}/tokenize`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'echo', prompt: 'ab' }),
      signal: client.signal,
    });
    await until(() => signal !== undefined);
    client.abort();
    await assert.rejects(answer);
    await until(() => signal!.aborted);
  } finally {
    generator.tokenize = tokenize;
  }
});

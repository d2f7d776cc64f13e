import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type FakeServer, fakeServer } from './fixtures/fake-generator.ts';

let server: FakeServer;
before(async () => {
  server = await fakeServer();
});
after(() => server.close());

const post = async (url: string, payload: object) => {
  const response = await server.fastify.inject({ method: 'POST', url, payload });
  return { status: response.statusCode, json: response.json() };
};

test('/v1/models says of each model what it is and how much it takes', async () => {
  const { object, data } = (await server.fastify.inject('/v1/models')).json();
  assert.equal(object, 'list');
  assert.deepEqual(data[0], {
    id: 'echo',
    object: 'model',
    created: 1_700_000_000,
    owned_by: 'redllm',
    root: 'echo',
    parent: null,
    permission: [],
    max_model_len: 512,
    architecture: {
      type: 'encoder-decoder',
      family: 'fake',
      max_source_len: 512,
      max_target_len: 1024,
      chat: false,
      text: true,
      input_modalities: ['text'],
      output_modalities: ['text'],
    },
  });
  assert.deepEqual([data[1].architecture.type, data[1].max_model_len], ['decoder-only', 1024]);
});

test('one model by its name, a slash in it or not; an unknown one is 404', async () => {
  assert.equal((await server.fastify.inject('/v1/models/org/bare')).json().id, 'org/bare');
  assert.equal((await server.fastify.inject('/v1/models/org%2Fbare')).json().id, 'org/bare');
  const missing = await server.fastify.inject('/v1/models/nobody');
  assert.deepEqual([missing.statusCode, missing.json().error.code], [404, 'model_not_found']);
});

test('/tokenize gives ids, and on request their texts', async () => {
  const plain = await post('/tokenize', { model: 'echo', prompt: 'ab' });
  assert.deepEqual(plain.json, { count: 3, max_model_len: 512, tokens: [1, 100, 101], token_strs: null });
  const bare = await post('/tokenize', {
    model: 'echo',
    prompt: 'ab',
    add_special_tokens: false,
    return_token_strs: true,
  });
  assert.deepEqual(bare.json.token_strs, ['a', 'b']);
});

test('/tokenize takes messages, by the chat template', async () => {
  const { json } = await post('/tokenize', {
    model: 'chatty',
    messages: [{ role: 'u', content: 'x' }],
    add_generation_prompt: false,
  });
  const back = await post('/detokenize', { model: 'chatty', tokens: json.tokens });
  assert.deepEqual(back.json, { prompt: '[u]x' });
});

test('/tokenize and /detokenize refuse what is wrong, by its field', async () => {
  const cases: [string, object, string][] = [
    ['/tokenize', { model: 'echo' }, 'prompt'],
    ['/tokenize', { prompt: 'a' }, 'model'],
    ['/tokenize', { model: 'org/bare', prompt: 'a' }, 'prompt'],
    ['/tokenize', { model: 'echo', messages: [{ role: 'u', content: 'x' }] }, 'messages'],
    ['/detokenize', { model: 'echo' }, 'tokens'],
    ['/detokenize', { model: 'echo', tokens: [1, 'x'] }, 'tokens.1'],
    ['/detokenize', { model: 'echo', tokens: [1, 259] }, 'tokens'],
  ];
  for (const [url, body, param] of cases) {
    const { status, json } = await post(url, body);
    assert.deepEqual([status, json.error.param], [400, param], JSON.stringify(body));
  }
});

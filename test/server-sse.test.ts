import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { type FakeServer, fakeServer } from './fixtures/fake-generator.ts';

let server: FakeServer;
before(async () => {
  server = await fakeServer();
});
beforeEach(() => {
  server.generator.failAfter = Number.POSITIVE_INFINITY;
});
after(() => server.close());

async function stream(url: string, payload: object) {
  const response = await server.fastify.inject({ method: 'POST', url, payload: { stream: true, ...payload } });
  return {
    response,
    bytes: response.body
      .replaceAll(/"id":"(cmpl|chatcmpl)-[^"]+"/g, '"id":"$1-1"')
      .replaceAll(/"created":\d+/g, '"created":1'),
  };
}

test('completions stream, byte for byte', async () => {
  const { response, bytes } = await stream('/v1/completions', { model: 'echo', prompt: 'hé', max_tokens: 2 });
  assert.equal(response.statusCode, 200);
  assert.equal(response.headers['content-type'], 'text/event-stream; charset=utf-8');
  assert.equal(
    bytes,
    'data: {"id":"cmpl-1","object":"text_completion","created":1,"model":"echo","choices":[{"index":0,"text":"h","logprobs":null,"finish_reason":null,"stop_reason":null}]}\n\n' +
      'data: {"id":"cmpl-1","object":"text_completion","created":1,"model":"echo","choices":[{"index":0,"text":"é","logprobs":null,"finish_reason":"stop","stop_reason":null}]}\n\n' +
      'data: [DONE]\n\n',
  );
});

test('chat streams the role, the text, the end and the usage, byte for byte', async () => {
  const { bytes } = await stream('/v1/chat/completions', {
    model: 'chatty',
    messages: [{ role: 'u', content: '' }],
    max_tokens: 1,
    stream_options: { include_usage: true },
  });
  const head =
    'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"chatty","system_fingerprint":null,"choices":';
  assert.equal(
    bytes,
    `${head}[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":null}\n\n` +
      `${head}[{"index":0,"delta":{"content":"["},"logprobs":null,"finish_reason":null}],"usage":null}\n\n` +
      `${head}[{"index":0,"delta":{},"logprobs":null,"finish_reason":"length","stop_reason":null}],"usage":null}\n\n` +
      `${head}[],"usage":{"prompt_tokens":14,"completion_tokens":1,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":2}}}\n\n` +
      'data: [DONE]\n\n',
  );
});

const events = (body: string) =>
  body
    .split('\n\n')
    .filter(event => event.startsWith('data: {'))
    .map(event => JSON.parse(event.slice(6)));

test('all chunks share id and created; choices of several prompts come by index and join to the whole texts', async () => {
  const { response } = await stream('/v1/completions', {
    model: 'echo',
    prompt: ['abc', 'defg'],
    n: 2,
    return_token_ids: true,
  });
  const chunks = events(response.body);
  assert.equal(new Set(chunks.map(chunk => `${chunk.id} ${chunk.created}`)).size, 1);
  const texts = ['', '', '', ''];
  for (const { choices } of chunks) texts[choices[0].index] += choices[0].text;
  assert.deepEqual(texts, ['abc', 'abc', 'defg', 'defg']);
  const withPrompt = chunks.filter(chunk => chunk.choices[0].prompt_token_ids);
  assert.equal(withPrompt.length, 4, 'prompt ids stand in the first chunk of each choice, alone');
});

test('continuous_usage_stats counts with every chunk', async () => {
  const options = { include_usage: true, continuous_usage_stats: true };
  const { response } = await stream('/v1/completions', { model: 'echo', prompt: 'abc', stream_options: options });
  assert.deepEqual(
    events(response.body).map(({ usage }) => [usage.prompt_tokens, usage.completion_tokens]),
    [
      [3, 1],
      [3, 2],
      [3, 3],
      [3, 3],
    ],
  );
});

test('offsets of log-probabilities go on from chunk to chunk', async () => {
  const { response } = await stream('/v1/completions', { model: 'echo', prompt: 'éa', logprobs: 0 });
  assert.deepEqual(
    events(response.body).map(({ choices }) => choices[0].logprobs.text_offset),
    [[0, 1], [1]],
  );
});

test('an error before the first chunk is a plain HTTP error', async () => {
  server.generator.failAfter = 0;
  const { response } = await stream('/v1/completions', { model: 'echo', prompt: 'abc' });
  assert.equal(response.statusCode, 500);
  assert.equal(response.json().error.code, 'internal');
  assert.ok(!response.body.includes('told to fail'), 'what went wrong inside stays inside');
});

test('an error in mid-stream is sent as an event, and the stream ends without [DONE]', async () => {
  server.generator.failAfter = 1;
  const { bytes } = await stream('/v1/completions', { model: 'echo', prompt: 'abc' });
  const [, error, ...rest] = bytes.split('\n\n');
  assert.equal(
    error,
    'data: {"error":{"message":"The server failed to handle this request.","type":"server_error","param":null,"code":"internal"}}',
  );
  assert.deepEqual(rest, ['']);
});

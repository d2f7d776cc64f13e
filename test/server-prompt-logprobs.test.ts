/** Log-probabilities of the prompt: vLLM's prompt_logprobs, and OpenAI's echo with logprobs; whole, streamed and with nothing to generate. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type FakeServer, fakeServer } from './fixtures/fake-generator.ts';

let server: FakeServer;
before(async () => {
  server = await fakeServer();
});
after(() => server.close());

async function post(body: object, url = '/v1/completions') {
  const response = await server.fastify.inject({ method: 'POST', url, payload: { model: 'chatty', ...body } });
  assert.equal(response.statusCode, 200, response.body);
  return response.headers['content-type']?.toString().startsWith('text/event-stream')
    ? response.body
        .split('\n\n')
        .filter(event => event.startsWith('data: {'))
        .map(event => JSON.parse(event.slice(6)))
    : response.json();
}

const entry = (id: number, text: string) => ({ [id]: { logprob: -0.25, rank: 1, decoded_token: text } });

test('prompt_logprobs of a decoder-only prompt: null first, then a token by its id with the alternatives', async () => {
  const { choices } = await post({ prompt: 'abc', prompt_logprobs: 0, max_tokens: 1 });
  assert.deepEqual(choices[0].prompt_logprobs, [null, entry(101, 'b'), entry(102, 'c')]);
  assert.equal(choices[0].logprobs, null);
  assert.equal(choices[0].text, 'a');
  const more = await post({ prompt: 'ab', prompt_logprobs: 2, max_tokens: 1 });
  assert.deepEqual(more.choices[0].prompt_logprobs[1], {
    ...entry(101, 'b'),
    102: { logprob: -1.5, rank: 2, decoded_token: 'c' },
  });
});

test('prompt_logprobs of an encoder-decoder are those of the decoder prompt, or none', async () => {
  const started = await post({ model: 'echo', prompt: 'ab', decoder_prompt: [123], prompt_logprobs: 0 });
  assert.deepEqual(started.choices[0].prompt_logprobs, [entry(123, 'x')]);
  const plain = await post({ model: 'echo', prompt: 'ab', prompt_logprobs: 0 });
  assert.deepEqual(plain.choices[0].prompt_logprobs, []);
  assert.equal(plain.choices[0].text, 'ab');
});

test('each of several prompts has its own', async () => {
  const { choices } = await post({ prompt: ['a', 'bc'], prompt_logprobs: 0, max_tokens: 0 });
  assert.deepEqual(
    choices.map((choice: { prompt_logprobs: unknown[]; finish_reason: string }) => [
      choice.prompt_logprobs,
      choice.finish_reason,
    ]),
    [
      [[null], 'length'],
      [[null, entry(102, 'c')], 'length'],
    ],
  );
});

test('echo with logprobs lists the prompt before the answer; with max_tokens 0 there is no answer', async () => {
  const { choices } = await post({ prompt: 'ab', echo: true, logprobs: 1, max_tokens: 1 });
  assert.equal(choices[0].text, 'aba');
  assert.deepEqual(choices[0].logprobs, {
    tokens: ['a', 'b', 'a'],
    token_logprobs: [null, -0.25, -0.25],
    top_logprobs: [null, { b: -0.25 }, { a: -0.25 }],
    text_offset: [0, 1, 2],
  });
  assert.equal(choices[0].prompt_logprobs, undefined);
  const scored = await post({ prompt: 'ab', echo: true, logprobs: 0, max_tokens: 0 });
  assert.equal(scored.choices[0].text, 'ab');
  assert.deepEqual(scored.choices[0].logprobs.token_logprobs, [null, -0.25]);
  assert.equal(scored.choices[0].finish_reason, 'length');
  assert.equal(scored.usage.completion_tokens, 0);
  assert.equal(server.generator.requests.at(-1)?.maxTokens, 0);
});

test('echo with logprobs and prompt_logprobs together: each has as many alternatives as it asked for', async () => {
  const { choices } = await post({ prompt: 'ab', echo: true, logprobs: 2, prompt_logprobs: 0, max_tokens: 1 });
  assert.equal(server.generator.requests.at(-1)?.promptLogprobs, 2);
  assert.deepEqual(choices[0].prompt_logprobs, [null, entry(101, 'b')]);
  assert.deepEqual(choices[0].logprobs.top_logprobs[1], { b: -0.25, c: -1.5 });
});

test('streamed, they come with the first chunk, and offsets go on after them', async () => {
  const chunks = await post({ prompt: 'ab', echo: true, logprobs: 0, prompt_logprobs: 0, max_tokens: 2, stream: true });
  assert.deepEqual(chunks[0].choices[0].prompt_logprobs, [null, entry(101, 'b')]);
  assert.equal(chunks[0].choices[0].text, 'ab');
  const offsets = chunks.flatMap((chunk: { choices: { logprobs: { text_offset: number[] } }[] }) =>
    chunk.choices.flatMap(choice => choice.logprobs?.text_offset ?? []),
  );
  assert.deepEqual(offsets, [0, 1, 2, 3]);
  assert.ok(chunks.slice(1).every((chunk: { choices: object[] }) => !('prompt_logprobs' in chunk.choices[0]!)));
});

test("chat has them beside the choices, as vLLM's", async () => {
  const messages = [{ role: 'u', content: 'x' }];
  const whole = await post({ messages, prompt_logprobs: 0, max_tokens: 1 }, '/v1/chat/completions');
  assert.deepEqual(whole.prompt_logprobs.slice(0, 2), [null, entry(120, 'u')]);
  const plain = await post({ messages, max_tokens: 1 }, '/v1/chat/completions');
  assert.equal(plain.prompt_logprobs, undefined);
  const chunks = await post({ messages, prompt_logprobs: 0, max_tokens: 1, stream: true }, '/v1/chat/completions');
  const brought = chunks.flatMap((chunk: { prompt_logprobs?: unknown[] }) => chunk.prompt_logprobs ?? []);
  assert.deepEqual(brought, whole.prompt_logprobs);
});

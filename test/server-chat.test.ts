import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type FakeServer, fakeServer } from './fixtures/fake-generator.ts';

let server: FakeServer;
before(async () => {
  server = await fakeServer();
});
after(() => server.close());

const hi = [{ role: 'user', content: 'hi' }];

async function chat(body: object, status = 200) {
  const payload = { model: 'chatty', messages: hi, ...body };
  const response = await server.fastify.inject({ method: 'POST', url: '/v1/chat/completions', payload });
  assert.equal(response.statusCode, status, response.body);
  return response.json();
}

test('a chat completion has the fields of OpenAI and their values', async () => {
  const { id, created, ...rest } = await chat({ max_tokens: 8 });
  assert.match(id, /^chatcmpl-/);
  assert.ok(Number.isInteger(created));
  assert.deepEqual(rest, {
    object: 'chat.completion',
    model: 'chatty',
    system_fingerprint: null,
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: '[user]hi', refusal: null },
        logprobs: null,
        finish_reason: 'length',
        stop_reason: null,
      },
    ],
    usage: { prompt_tokens: 19, completion_tokens: 8, total_tokens: 27, prompt_tokens_details: { cached_tokens: 2 } },
  });
});

test('the template makes the prompt, which is tokenised without further special tokens and fills what room there is', async () => {
  await chat({
    messages: [
      {
        role: 'system',
        content: 'be brief',
      },
      ...hi,
    ],
  });
  const request = server.generator.requests.at(-1);
  assert.equal(request?.prompt, '[system]be brief[user]hi[assistant]');
  assert.equal(request?.addSpecialTokens, false);
  assert.equal(request?.maxTokens, undefined);
  await chat({ add_generation_prompt: false });
  assert.equal(server.generator.requests.at(-1)?.prompt, '[user]hi');
});

test('max_completion_tokens comes before max_tokens', async () => {
  await chat({ max_tokens: 3, max_completion_tokens: 4 });
  assert.equal(server.generator.requests.at(-1)?.maxTokens, 4);
});

test('logprobs have content with bytes and alternatives', async () => {
  const { choices } = await chat({ max_tokens: 1, logprobs: true, top_logprobs: 2 });
  assert.deepEqual(choices[0].logprobs, {
    content: [
      {
        token: '[',
        logprob: -0.25,
        bytes: [91],
        top_logprobs: [
          { token: '[', logprob: -0.25, bytes: [91] },
          { token: '\\', logprob: -1.5, bytes: [92] },
        ],
      },
    ],
    refusal: null,
  });
});

test('a model without a template refuses chat, and says what would help', async () => {
  const { error } = await chat({ model: 'echo' }, 400);
  assert.equal(error.code, 'unsupported');
  assert.match(error.message, /echo has no chat template/);
});

test('an error about the length names the field that the client wrote', async () => {
  const ask = async (fields: object) => {
    const payload = { model: 'chatty', messages: [{ role: 'user', content: 'x' }], ...fields };
    const response = await server.fastify.inject({ method: 'POST', url: '/v1/chat/completions', payload });
    assert.equal(response.statusCode, 400);
    return response.json().error;
  };
  const { param, message, code } = await ask({ max_completion_tokens: 1e6 });
  assert.deepEqual([param, code], ['max_completion_tokens', 'invalid_value']);
  assert.match(message, /^max_completion_tokens must be/);
  assert.equal((await ask({ max_tokens: 1e6 })).param, 'max_tokens');
  assert.equal((await ask({ max_tokens: 5, max_completion_tokens: 1e6 })).param, 'max_completion_tokens');
});

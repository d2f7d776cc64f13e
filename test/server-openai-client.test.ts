import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { RedllmError } from '../src/errors.ts';
import { type FakeServer, fakeServer, until } from './fixtures/fake-generator.ts';

let server: FakeServer;
let client: OpenAI;
before(async () => {
  server = await fakeServer();
  client = new OpenAI({ baseURL: `${await server.listen()}/v1`, apiKey: 'none', maxRetries: 0 });
});
after(() => server.close());

const messages = [{ role: 'user' as const, content: 'hi' }];

test('lists and retrieves models, names with slashes too', async () => {
  const { data } = await client.models.list();
  assert.deepEqual(
    data.map(model => model.id),
    ['echo', 'chatty', 'org/bare'],
  );
  assert.equal((await client.models.retrieve('org/bare')).id, 'org/bare');
});

test('completes, whole and streamed alike', async () => {
  const whole = await client.completions.create({ model: 'echo', prompt: 'grüße', logprobs: 1 });
  assert.equal(whole.choices[0]?.text, 'grüße');
  assert.equal(whole.choices[0]?.finish_reason, 'stop');
  let text = '';
  let last: OpenAI.Completion | undefined;
  const options = { include_usage: true };
  for await (const chunk of await client.completions.create({
    model: 'echo',
    prompt: 'grüße',
    stream: true,
    stream_options: options,
  })) {
    text += chunk.choices[0]?.text ?? '';
    last = chunk;
  }
  assert.equal(text, 'grüße');
  assert.deepEqual(last?.usage, whole.usage);
});

test('chats, whole and streamed alike', async () => {
  const whole = await client.chat.completions.create({ model: 'chatty', messages });
  assert.equal(whole.choices[0]?.message.content, '[user]hi[assistant]');
  const stream = client.chat.completions.stream({ model: 'chatty', messages, stream_options: { include_usage: true } });
  const final = await stream.finalChatCompletion();
  assert.equal(final.choices[0]?.message.content, '[user]hi[assistant]');
  assert.equal(final.choices[0]?.finish_reason, 'stop');
  assert.deepEqual(final.usage, whole.usage);
});

test('a client that leaves the loop cancels its request', async () => {
  server.generator.delay = 5;
  server.generator.repeats = 1000;
  const before = server.generator.cancelled;
  for await (const _ of await client.completions.create({
    model: 'echo',
    prompt: 'abc',
    max_tokens: 1000,
    stream: true,
  }))
    break;
  await until(() => server.generator.cancelled === before + 1 && server.generator.running === 0);
  server.generator.delay = 0;
  server.generator.repeats = 1;
});

test('an aborted signal cancels a request that does not stream', async () => {
  server.generator.delay = 5;
  server.generator.repeats = 1000;
  const before = server.generator.cancelled;
  const controller = new AbortController();
  const answer = client.completions.create(
    { model: 'echo', prompt: 'abc', max_tokens: 1000 },
    { signal: controller.signal },
  );
  answer.catch(() => {});
  await until(() => server.generator.running === 1);
  controller.abort();
  await assert.rejects(answer, OpenAI.APIUserAbortError);
  await until(() => server.generator.cancelled === before + 1 && server.drain.running === 0);
  server.generator.delay = 0;
  server.generator.repeats = 1;
});

test('errors come as the types of the client, with code and param', async () => {
  const wrong = client.completions.create({ model: 'echo', prompt: 'abc', temperature: -1 });
  await assert.rejects(wrong, (error: unknown) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.deepEqual([error.status, error.code, error.param], [400, 'invalid_value', 'temperature']);
    assert.ok(error.requestID);
    return true;
  });
  await assert.rejects(client.completions.create({ model: 'nobody', prompt: 'abc' }), OpenAI.NotFoundError);
});

test('an error in mid-stream is thrown by the iteration', async () => {
  server.generator.failAfter = 2;
  let text = '';
  const read = async () => {
    for await (const chunk of await client.completions.create({ model: 'echo', prompt: 'abc', stream: true }))
      text += chunk.choices[0]?.text;
  };
  await assert.rejects(read, OpenAI.APIError);
  assert.equal(text, 'ab');
  server.generator.failAfter = Number.POSITIVE_INFINITY;
});

test('a deadline is not retried: it would pass again', async () => {
  const patient = client.withOptions({ maxRetries: 2 });
  server.generator.failure = new RedllmError('deadline_exceeded', 'The request took longer than it was given.');
  server.generator.failAfter = 0;
  const before = server.generator.requests.length;
  await assert.rejects(patient.completions.create({ model: 'echo', prompt: 'a' }), { status: 504 });
  assert.equal(server.generator.requests.length, before + 1);
  server.generator.failAfter = Number.POSITIVE_INFINITY;
});

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type FakeServer, fakeServer } from './fixtures/fake-generator.ts';

let server: FakeServer;
before(async () => {
  server = await fakeServer();
});
after(() => server.close());

async function complete(body: object) {
  const response = await server.fastify.inject({
    method: 'POST',
    url: '/v1/completions',
    payload: { model: 'echo', ...body },
  });
  assert.equal(response.statusCode, 200, response.body);
  return response.json();
}

test('a completion has the fields of OpenAI and their values', async () => {
  const { id, created, ...rest } = await complete({ prompt: 'hello', max_tokens: 3 });
  assert.match(id, /^cmpl-/);
  assert.ok(Math.abs(created - Date.now() / 1000) < 10);
  assert.deepEqual(rest, {
    object: 'text_completion',
    model: 'echo',
    choices: [{ index: 0, text: 'hel', logprobs: null, finish_reason: 'length', stop_reason: null }],
    usage: { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8, prompt_tokens_details: { cached_tokens: 2 } },
  });
});

test('several prompts and n give choices in the order of the prompts, and usage of all', async () => {
  const { choices, usage } = await complete({ prompt: ['ab', 'cde', 'f'], n: 2 });
  assert.deepEqual(
    choices.map((choice: { index: number; text: string }) => [choice.index, choice.text]),
    [
      [0, 'ab'],
      [1, 'ab'],
      [2, 'cde'],
      [3, 'cde'],
      [4, 'f'],
      [5, 'f'],
    ],
  );
  assert.equal(usage.prompt_tokens, 6);
  assert.equal(usage.completion_tokens, 12);
});

test('token ids are taken as they are, one list or several', async () => {
  const one = await complete({ prompt: [100, 101] });
  assert.equal(one.choices[0].text, 'ab');
  assert.deepEqual(server.generator.requests.at(-1)?.prompt, [100, 101]);
  const two = await complete({ prompt: [[100], [101, 102]] });
  assert.deepEqual(
    two.choices.map((choice: { text: string }) => choice.text),
    ['a', 'bc'],
  );
});

test('logprobs have the four lists, alternatives with the chosen token, and offsets in characters', async () => {
  const { choices } = await complete({ prompt: 'aéb', logprobs: 2 });
  const { tokens, token_logprobs, top_logprobs, text_offset } = choices[0].logprobs;
  assert.deepEqual(tokens, ['a', '\ufffd', '\ufffd', 'b']);
  assert.deepEqual(token_logprobs, [-0.25, -0.25, -0.25, -0.25]);
  assert.deepEqual(top_logprobs[0], { a: -0.25, b: -1.5 });
  assert.deepEqual(text_offset, [0, 1, 2, 2]);
});

test('echo puts the prompt of a decoder-only model, and the decoder prompt of an encoder-decoder, before the text', async () => {
  const prompted = await complete({ model: 'chatty', prompt: 'ab', echo: true });
  assert.equal(prompted.choices[0].text, 'abab');
  const started = await complete({ prompt: 'ab', decoder_prompt: [123, 124], echo: true });
  assert.equal(started.choices[0].text, 'xyab');
});

test('return_token_ids gives the ids of the answer and of the prompt', async () => {
  const { choices } = await complete({ prompt: 'ab', return_token_ids: true });
  assert.deepEqual(choices[0].token_ids, [100, 101]);
  assert.deepEqual(choices[0].prompt_token_ids, [100, 101]);
});

test('every field of a request reaches the generator under its own name, and null counts as absent', async () => {
  await complete({
    prompt: 'a',
    max_tokens: 7,
    min_tokens: 2,
    temperature: 0.5,
    top_p: 0.9,
    top_k: -1,
    min_p: 0.1,
    n: 2,
    best_of: 2,
    repetition_penalty: 1.5,
    presence_penalty: 1,
    frequency_penalty: -1,
    logit_bias: { 5: -100, 6: 3 },
    no_repeat_ngram_size: 3,
    bad_words: ['no', [7, 8]],
    allowed_token_ids: [4, 5],
    priority: -2,
    cache_salt: 'mine',
    seed: 11,
    stop: 'x',
    stop_token_ids: [9],
    include_stop_str_in_output: true,
    ignore_eos: true,
    skip_special_tokens: false,
    truncate_prompt_tokens: 4,
    add_special_tokens: false,
    decoder_prompt: 'q',
    forced_bos_token_id: 8,
    forced_eos_token_id: null,
    timeout_ms: 5000,
    suffix: null,
    stream: null,
    user: 'someone',
    unheard_of: { kept: 'out' },
  });
  assert.deepEqual(server.generator.requests.at(-1), {
    model: 'echo',
    prompt: 'a',
    decoderPrompt: 'q',
    addSpecialTokens: false,
    truncatePrompt: 4,
    n: 2,
    bestOf: 2,
    maxTokens: 7,
    minTokens: 2,
    temperature: 0.5,
    topK: -1,
    topP: 0.9,
    minP: 0.1,
    repetitionPenalty: 1.5,
    presencePenalty: 1,
    frequencyPenalty: -1,
    logitBias: new Map([
      [5, -100],
      [6, 3],
    ]),
    noRepeatNgram: 3,
    badWords: ['no', [7, 8]],
    allowedTokens: [4, 5],
    priority: -2,
    cacheSalt: 'mine',
    seed: 11,
    stop: ['x'],
    stopTokens: [9],
    includeStop: true,
    ignoreEos: true,
    skipSpecialTokens: false,
    forcedFirst: 8,
    forcedLast: null,
    timeout: 5000,
  });
  await complete({ prompt: 'a', temperature: null });
  assert.deepEqual(server.generator.requests.at(-1), { model: 'echo', prompt: 'a', maxTokens: 16 });
});

test('the first failing prompt fails the request and cancels the others', async () => {
  server.generator.delay = 5;
  const response = await server.fastify.inject({
    method: 'POST',
    url: '/v1/completions',
    payload: { model: 'echo', prompt: ['a long one that is running', [9999]] },
  });
  server.generator.delay = 0;
  assert.equal(response.statusCode, 400);
  assert.equal(response.json().error.param, 'prompt');
  assert.equal(server.generator.running, 0);
  assert.equal(server.drain.running, 0);
});

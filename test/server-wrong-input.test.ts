import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type FakeServer, fakeServer } from './fixtures/fake-generator.ts';

let server: FakeServer;
before(async () => {
  server = await fakeServer();
});
after(() => server.close());

async function post(url: string, payload: string | Buffer | object, contentType = 'application/json') {
  const response = await server.fastify.inject({
    method: 'POST',
    url,
    payload: typeof payload === 'string' || Buffer.isBuffer(payload) ? payload : JSON.stringify(payload),
    headers: { 'content-type': contentType },
  });
  return { status: response.statusCode, headers: response.headers, error: response.json().error };
}

async function isHealthy() {
  assert.equal((await server.fastify.inject('/health')).statusCode, 200);
  const response = await server.fastify.inject({
    method: 'POST',
    url: '/v1/completions',
    payload: { model: 'echo', prompt: 'ok' },
  });
  assert.equal(response.json().choices[0].text, 'ok');
}

/** [what, the fields that are wrong, status, param, code] on a body that is otherwise right. */
const completions: [string, object, number, string, string?][] = [
  ['a missing model', { model: undefined }, 400, 'model'],
  ['a model that is null', { model: null }, 400, 'model'],
  ['an unknown model', { model: 'nobody' }, 404, 'model', 'model_not_found'],
  ['a missing prompt', { prompt: undefined }, 400, 'prompt'],
  ['an empty prompt', { prompt: '' }, 400, 'prompt'],
  ['an empty list of prompts', { prompt: [] }, 400, 'prompt'],
  ['a prompt of another type', { prompt: { text: 'x' } }, 400, 'prompt'],
  ['a mixed prompt', { prompt: [1, 'x'] }, 400, 'prompt.1'],
  ['half a surrogate pair', { prompt: 'a\ud800' }, 400, 'prompt'],
  ['a token id out of range', { prompt: [100, 9999] }, 400, 'prompt'],
  ['a negative token id', { prompt: [100, -1] }, 400, 'prompt.1'],
  ['a token id that is no integer', { prompt: [[1], [1.5]] }, 400, 'prompt.1.0'],
  ['a prompt longer than the model takes', { prompt: 'x'.repeat(600) }, 400, 'prompt', 'context_length_exceeded'],
  ['max_tokens 0', { max_tokens: 0 }, 400, 'max_tokens'],
  ['max_tokens 1e9', { max_tokens: 1e9 }, 400, 'max_tokens'],
  ['max_tokens 1e300', { max_tokens: 1e300 }, 400, 'max_tokens'],
  ['temperature -1', { temperature: -1 }, 400, 'temperature'],
  ['temperature "hot"', { temperature: 'hot' }, 400, 'temperature'],
  ['n 1000', { n: 1000 }, 400, 'n'],
  ['n 0', { n: 0 }, 400, 'n'],
  ['top_p 0', { top_p: 0 }, 400, 'top_p'],
  ['top_k 1.5', { top_k: 1.5 }, 400, 'top_k'],
  ['presence_penalty 3', { presence_penalty: 3 }, 400, 'presence_penalty'],
  ['logprobs 21', { logprobs: 21 }, 400, 'logprobs'],
  ['logprobs true', { logprobs: true }, 400, 'logprobs'],
  ['logit_bias that is a list', { logit_bias: [1] }, 400, 'logit_bias'],
  ['logit_bias of a word', { logit_bias: { word: 1 } }, 400, 'logit_bias'],
  ['logit_bias beyond 100', { logit_bias: { 7: 101 } }, 400, 'logit_bias.7'],
  ['a request_id with half a surrogate pair', { request_id: 'a\ud800' }, 400, 'request_id'],
  ['a decoder prompt of another type', { decoder_prompt: 7 }, 400, 'decoder_prompt'],
  ['a decoder prompt with half a surrogate pair', { decoder_prompt: 'a\ud800' }, 400, 'decoder_prompt'],
  ['a mixed decoder prompt', { decoder_prompt: [1, 'x'] }, 400, 'decoder_prompt.1'],
  ['seed "x"', { seed: 'x' }, 400, 'seed'],
  ['an empty stop', { stop: [''] }, 400, 'stop.0'],
  ['a stop of another type', { stop: 7 }, 400, 'stop'],
  ['stream "yes"', { stream: 'yes' }, 400, 'stream'],
  ['stream_options without stream', { stream_options: { include_usage: true } }, 400, 'stream_options'],
  ['max_tokens 0 with echo alone', { max_tokens: 0, echo: true }, 400, 'max_tokens'],
  ['max_tokens 0 with logprobs alone', { max_tokens: 0, logprobs: 1 }, 400, 'max_tokens'],
  ['max_tokens -1 with scores', { max_tokens: -1, prompt_logprobs: 1 }, 400, 'max_tokens'],
  ['echo with logprobs of several answers', { echo: true, logprobs: 1, n: 2 }, 400, 'n', 'unsupported'],
  ['all log-probabilities of the prompt', { prompt_logprobs: -1 }, 400, 'prompt_logprobs'],
  ['too many log-probabilities of the prompt', { prompt_logprobs: 21 }, 400, 'prompt_logprobs'],
  ['log-probabilities of the prompt that are no number', { prompt_logprobs: true }, 400, 'prompt_logprobs'],
  ['log-probabilities of the prompt of several answers', { prompt_logprobs: 0, n: 2 }, 400, 'n', 'unsupported'],
  ['best_of below n', { n: 3, best_of: 2 }, 400, 'best_of'],
  ['best_of above n in a stream', { best_of: 3, stream: true }, 400, 'best_of'],
  ['a suffix', { suffix: 'x' }, 400, 'suffix', 'unsupported'],
  ['beams and no beams', { use_beam_search: false, beam_size: 4 }, 400, 'beam_size'],
  ['two widths', { use_beam_search: true, best_of: 4, num_beams: 5 }, 400, 'num_beams'],
  ['two numbers of answers', { n: 2, num_hypotheses: 3 }, 400, 'num_hypotheses'],
  ['fewer beams than answers', { num_hypotheses: 3, beam_size: 2 }, 400, 'best_of'],
  ['a length penalty without beams', { length_penalty: 2 }, 400, 'length_penalty'],
  ['early stopping without beams', { early_stopping: true }, 400, 'early_stopping'],
  ['early stopping "maybe"', { use_beam_search: true, early_stopping: 'maybe' }, 400, 'early_stopping'],
  ['patience without beams', { patience: 2 }, 400, 'patience'],
  ['patience 0', { use_beam_search: true, patience: 0 }, 400, 'patience'],
  ['JSON output', { response_format: { type: 'json_object' } }, 400, 'response_format', 'unsupported'],
  ['a response_format of another type', { response_format: 'text' }, 400, 'response_format', 'unsupported'],
  ['a grammar', { guided_grammar: 'x' }, 400, 'guided_grammar', 'unsupported'],
  ['a structure', { structured_outputs: {} }, 400, 'structured_outputs', 'unsupported'],
  ['bad words under another name', { bad_words_ids: [[1]] }, 400, 'bad_words_ids', 'unsupported'],
  ['bad words that are one word', { bad_words: 'x' }, 400, 'bad_words'],
  ['an empty bad word', { bad_words: ['x', ''] }, 400, 'bad_words.1'],
  ['a bad word without ids', { bad_words: [[]] }, 400, 'bad_words.0'],
  ['a bad word of another type', { bad_words: [7] }, 400, 'bad_words.0'],
  ['a bad word with a wrong id', { bad_words: [[1, -1]] }, 400, 'bad_words.0.1'],
  ['a long bad word', { bad_words: ['x'.repeat(129)] }, 400, 'bad_words.0'],
  ['too many bad words', { bad_words: Array(129).fill('x') }, 400, 'bad_words'],
  ['no allowed token', { allowed_token_ids: [] }, 400, 'allowed_token_ids'],
  ['an allowed token that is none', { allowed_token_ids: [1, 'x'] }, 400, 'allowed_token_ids.1'],
  ['too many allowed tokens', { allowed_token_ids: Array(1025).fill(1) }, 400, 'allowed_token_ids'],
  ['no_repeat_ngram_size -1', { no_repeat_ngram_size: -1 }, 400, 'no_repeat_ngram_size'],
  ['no_repeat_ngram_size 1.5', { no_repeat_ngram_size: 1.5 }, 400, 'no_repeat_ngram_size'],
  ['no_repeat_ngram_size 1025', { no_repeat_ngram_size: 1025 }, 400, 'no_repeat_ngram_size'],
  ['priority 11', { priority: 11 }, 400, 'priority'],
  ['priority -11', { priority: -11 }, 400, 'priority'],
  ['priority "high"', { priority: 'high' }, 400, 'priority'],
  ['an empty cache_salt', { cache_salt: '' }, 400, 'cache_salt'],
  ['a long cache_salt', { cache_salt: 'x'.repeat(129) }, 400, 'cache_salt'],
  ['a cache_salt of another type', { cache_salt: 5 }, 400, 'cache_salt'],
];

for (const [what, fields, status, param, code = 'invalid_value'] of completions)
  test(`completions: ${what}`, async () => {
    const answer = await post('/v1/completions', { model: 'echo', prompt: 'abc', ...fields });
    assert.equal(answer.status, status);
    assert.deepEqual(
      [answer.error.param, answer.error.code, answer.error.type],
      [param, code, 'invalid_request_error'],
    );
    assert.ok(answer.error.message.length > 10 && answer.error.message.endsWith('.'), answer.error.message);
    await isHealthy();
  });

const chats: [string, object, string, string?][] = [
  ['missing messages', { messages: undefined }, 'messages'],
  ['no messages', { messages: [] }, 'messages'],
  ['a message without a role', { messages: [{ content: 'x' }] }, 'messages.0.role'],
  ['content of another type', { messages: [{ role: 'user', content: 5 }] }, 'messages.0.content'],
  ['a message that is null', { messages: [null] }, 'messages.0'],
  ['an empty role', { messages: [{ role: '' }] }, 'messages.0.role'],
  ['half a surrogate pair in a role', { messages: [{ role: 'u\ud800' }] }, 'messages.0.role'],
  ['half a surrogate pair in a content', { messages: [{ role: 'user', content: 'x\udc00' }] }, 'messages.0.content'],
  [
    'half a surrogate pair in a part',
    { messages: [{ role: 'user', content: [{ type: 'text', text: 'x\ud800' }] }] },
    'messages.0.content.0.text',
  ],
  ['a part without a type', { messages: [{ role: 'user', content: [{ text: 'x' }] }] }, 'messages.0.content.0.type'],
  ['logprobs 1', { logprobs: 1 }, 'logprobs'],
  ['top_logprobs alone', { top_logprobs: 2 }, 'top_logprobs'],
  ['max_tokens 0', { max_tokens: 0, prompt_logprobs: 1 }, 'max_tokens'],
  ['log-probabilities of the prompt of several answers', { prompt_logprobs: 0, n: 2 }, 'n', 'unsupported'],
  ['tools', { tools: [{ type: 'function' }] }, 'tools', 'unsupported'],
  ['a template of its own', { chat_template: 'x' }, 'chat_template', 'unsupported'],
];

for (const [what, fields, param, code = 'invalid_value'] of chats)
  test(`chat: ${what}`, async () => {
    const answer = await post('/v1/chat/completions', {
      model: 'chatty',
      messages: [{ role: 'user', content: 'x' }],
      ...fields,
    });
    assert.equal(answer.status, 400);
    assert.deepEqual([answer.error.param, answer.error.code], [param, code]);
    await isHealthy();
  });

const bodies: [string, string | Buffer, number, string][] = [
  ['not JSON', 'prompt=hello', 400, 'invalid_json'],
  ['cut-off JSON', '{"model":"echo",', 400, 'invalid_json'],
  ['an empty body', '', 400, 'invalid_json'],
  ['invalid UTF-8', Buffer.from('{"model":"echo","prompt":"\xff"}', 'latin1'), 400, 'invalid_json'],
  ['a list', '[]', 400, 'invalid_value'],
  ['null', 'null', 400, 'invalid_value'],
  ['a body of 10 MB', `{"model":"echo","prompt":"${'x'.repeat(10_000_000)}"}`, 413, 'payload_too_large'],
];

for (const [what, body, status, code] of bodies)
  for (const url of ['/v1/completions', '/v1/chat/completions', '/v1/score', '/tokenize'])
    test(`${url}: ${what}`, async () => {
      const answer = await post(url, body);
      assert.deepEqual([answer.status, answer.error.code], [status, code]);
      await isHealthy();
    });

test('the first thing wrong is said in a sentence with the field, and with what it must be', async () => {
  const { error } = await post('/v1/completions', { model: 'echo', prompt: 'abc', temperature: 'hot' });
  assert.deepEqual(error, {
    message: 'temperature must be a number.',
    type: 'invalid_request_error',
    param: 'temperature',
    code: 'invalid_value',
  });
  const missing = await post('/v1/completions', { prompt: 'abc' });
  assert.equal(missing.error.message, 'model is required.');
  const many = await post('/v1/completions', { model: 'echo', prompt: 'abc', n: 1000 });
  assert.equal(many.error.message, 'n must be at most 128.');
  const stops = await post('/v1/completions', { model: 'echo', prompt: 'abc', stop: Array(17).fill('x') });
  assert.equal(stops.error.message, 'stop must hold at most 16 elements.');
  const text = await post('/v1/completions', { model: 'echo', prompt: 'abc', stop: 7 });
  assert.equal(text.error.message, 'stop must be a string or an array of strings.');
  const tokens = await post('/detokenize', { model: 'echo' });
  assert.equal(tokens.error.message, 'tokens is required.');
});

test('what asks for nothing is taken: empty tools, text format, a neutral length penalty', async () => {
  const fields = {
    tools: [],
    response_format: { type: 'text' },
    length_penalty: 1,
    use_beam_search: false,
    num_beams: 1,
    early_stopping: false,
    suffix: '',
  };
  const response = await server.fastify.inject({
    method: 'POST',
    url: '/v1/completions',
    payload: { model: 'echo', prompt: 'abc', ...fields },
  });
  assert.equal(response.statusCode, 200, response.body);
});

test('a body that is not said to be JSON is 415', async () => {
  const answer = await post('/v1/completions', '{}', 'text/plain');
  assert.deepEqual([answer.status, answer.error.code], [415, 'unsupported_media_type']);
});

test('a path that does not exist is 404, a method that does not fit 405, with the envelope', async () => {
  const nowhere = await server.fastify.inject('/v1/nothing');
  assert.equal(nowhere.statusCode, 404);
  assert.equal(nowhere.json().error.code, 'not_found');
  for (const [method, url] of [
    ['GET', '/v1/completions'],
    ['DELETE', '/v1/models/echo'],
    ['PUT', '/tokenize'],
  ] as const) {
    const wrong = await server.fastify.inject({ method, url });
    assert.equal(wrong.statusCode, 405, url);
    assert.equal(wrong.json().error.code, 'method_not_allowed');
  }
  const garbled = await server.fastify.inject('/v1/models/%ff');
  assert.equal(garbled.statusCode, 404);
  assert.equal(garbled.json().error.code, 'not_found');
});

test('over a real connection, 10 MB are answered with 413 while they are still being sent', async () => {
  const url = await server.listen();
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'echo', prompt: 'x'.repeat(10_000_000) }),
  });
  assert.equal(response.status, 413);
  assert.equal(((await response.json()) as { error: { code: string } }).error.code, 'payload_too_large');
});

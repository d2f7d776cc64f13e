/** POST /v1/score: its answer, its two names for the source, and every wrong input by its field. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type FakeServer, fakeServer, until } from './fixtures/fake-generator.ts';

let server: FakeServer;
before(async () => {
  server = await fakeServer();
});
after(() => server.close());

async function post(body: object) {
  const response = await server.fastify.inject({
    method: 'POST',
    url: '/v1/score',
    payload: { model: 'echo', ...body },
  });
  return { status: response.statusCode, body: response.json() };
}

test('each candidate has its tokens, their log-probabilities, the sum, the mean and the perplexity', async () => {
  const { status, body } = await post({ source: 'abc', candidates: ['x', [100, 101, 102]], request_id: 'r' });
  assert.equal(status, 200, JSON.stringify(body));
  const { created, ...rest } = body;
  assert.ok(Math.abs(created - Date.now() / 1000) < 10);
  assert.deepEqual(rest, {
    id: 'score-r',
    object: 'list',
    model: 'echo',
    data: [
      {
        index: 0,
        object: 'score',
        score: -0.5,
        logprob: -0.5,
        perplexity: Math.exp(0.5),
        tokens: [123],
        token_logprobs: [-0.5],
      },
      {
        index: 1,
        object: 'score',
        score: -1,
        logprob: -3,
        perplexity: Math.E,
        tokens: [100, 101, 102],
        token_logprobs: [-0.5, -1, -1.5],
      },
    ],
    usage: { prompt_tokens: 7, completion_tokens: 0, total_tokens: 7, prompt_tokens_details: { cached_tokens: 0 } },
  });
});

test('alternatives come by token id where they are asked for', async () => {
  const { body } = await post({ source: 'a', candidates: ['x'], logprobs: 2 });
  assert.deepEqual(body.data[0].top_logprobs, [
    {
      123: { logprob: -0.5, rank: 1, decoded_token: 'x' },
      124: { logprob: -1.5, rank: 2, decoded_token: 'y' },
    },
  ]);
});

test('every field reaches the generator under its own name, and prompt is another name of source', async () => {
  const fields = {
    candidates: ['b', [7]],
    logprobs: 3,
    decoder_prompt: [9],
    add_special_tokens: false,
    append_eos: false,
    truncate_prompt_tokens: 5,
    timeout_ms: 9000,
  };
  const expected = {
    model: 'echo',
    prompt: 'a',
    candidates: ['b', [7]],
    logprobs: 3,
    decoderPrompt: [9],
    addSpecialTokens: false,
    appendEos: false,
    truncatePrompt: 5,
    timeout: 9000,
  };
  assert.equal((await post({ source: 'a', ...fields })).status, 200);
  assert.deepEqual(server.generator.scoreRequests.at(-1), expected);
  assert.equal((await post({ prompt: 'a', source: null, ...fields })).status, 200);
  assert.deepEqual(server.generator.scoreRequests.at(-1), expected);
});

const wrong: [string, object, string, string?][] = [
  ['no source', { source: undefined }, 'source'],
  ['two sources', { prompt: 'a' }, 'prompt'],
  ['a source that is a number', { source: 5 }, 'source'],
  ['a source of texts', { source: ['a'] }, 'source.0'],
  ['an empty source', { source: '' }, 'source'],
  ['an empty prompt', { source: undefined, prompt: [] }, 'prompt'],
  ['half a surrogate pair', { source: 'a\ud800' }, 'source'],
  ['too long a source', { source: 'a'.repeat(600) }, 'source', 'context_length_exceeded'],
  ['no candidates', { candidates: undefined }, 'candidates'],
  ['an empty list of candidates', { candidates: [] }, 'candidates'],
  ['too many candidates', { candidates: Array(129).fill('x') }, 'candidates'],
  ['a candidate alone', { candidates: 'x' }, 'candidates'],
  ['a candidate that is a number', { candidates: ['x', 7] }, 'candidates.1'],
  ['a candidate of no token', { candidates: [[-1]] }, 'candidates.0.0'],
  ['too many alternatives', { logprobs: 21 }, 'logprobs'],
  ['alternatives that are no number', { logprobs: true }, 'logprobs'],
  ['special tokens of another type', { add_special_tokens: 'no' }, 'add_special_tokens'],
  ['an end of another type', { append_eos: 1 }, 'append_eos'],
  ['a stream', { stream: true }, 'stream'],
  ['no time', { timeout_ms: 0 }, 'timeout_ms'],
  ['no such class', { priority: 11 }, 'priority'],
  ['an empty salt', { cache_salt: '' }, 'cache_salt'],
  ['a language', { tgt_lang: 'de' }, 'tgt_lang', 'unsupported'],
];

for (const [what, fields, param, code = 'invalid_value'] of wrong)
  test(`wrong: ${what}`, async () => {
    const { status, body } = await post({ source: 'abc', candidates: ['x'], ...fields });
    assert.equal(status, 400);
    assert.deepEqual([body.error.param, body.error.code], [param, code], body.error.message);
    assert.ok(body.error.message.length > 10 && body.error.message.endsWith('.'), body.error.message);
    assert.equal((await post({ source: 'abc', candidates: ['x'] })).status, 200);
  });

test('an unknown model is 404, another method 405', async () => {
  const { status, body } = await post({ model: 'nobody', source: 'a', candidates: ['x'] });
  assert.deepEqual([status, body.error.param], [404, 'model']);
  const response = await server.fastify.inject('/v1/score');
  assert.deepEqual([response.statusCode, response.headers.allow], [405, 'POST']);
});

test('a client that goes away has its candidates cancelled', async () => {
  server.generator.delay = 5000;
  const url = await server.listen();
  const controller = new AbortController();
  const payload = JSON.stringify({ model: 'echo', source: 'a', candidates: ['x'] });
  const headers = { 'content-type': 'application/json' };
  const { cancelled, scoreRequests } = server.generator;
  const asked = scoreRequests.length;
  const sent = fetch(`${url}/v1/score`, { method: 'POST', body: payload, headers, signal: controller.signal });
  await until(() => scoreRequests.length > asked);
  controller.abort();
  await assert.rejects(sent);
  await until(() => server.generator.cancelled > cancelled);
  server.generator.delay = 0;
});

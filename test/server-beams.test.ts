/** The fields of beam search and of best_of, by all of their names, and a hypothesis' score in every kind of answer. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type FakeServer, fakeServer } from './fixtures/fake-generator.ts';

let server: FakeServer;
before(async () => {
  server = await fakeServer();
});
after(() => server.close());

async function post(url: string, body: object) {
  const response = await server.fastify.inject({ method: 'POST', url, payload: body });
  assert.equal(response.statusCode, 200, response.body);
  return response;
}

async function asked(fields: object) {
  await post('/v1/completions', { model: 'echo', prompt: 'ab', ...fields });
  const { n, bestOf, beam } = server.generator.requests.at(-1)!;
  return { n, bestOf, beam };
}

test('the fields reach the generator, under whichever name', async () => {
  const four = { n: 2, bestOf: 4, beam: {} };
  assert.deepEqual(await asked({ use_beam_search: true, n: 2, best_of: 4 }), four);
  assert.deepEqual(await asked({ use_beam_search: true, num_hypotheses: 2, num_beams: 4 }), four);
  assert.deepEqual(await asked({ beam_size: 4, num_hypotheses: 2, n: 2 }), four);
  assert.deepEqual(await asked({ use_beam_search: true }), { n: undefined, bestOf: undefined, beam: {} });
  const all = { use_beam_search: true, beam_size: 3, length_penalty: 0.6, early_stopping: 'never', patience: 2 };
  assert.deepEqual(await asked(all), {
    n: undefined,
    bestOf: 3,
    beam: { lengthPenalty: 0.6, earlyStopping: 'never', patience: 2 },
  });
});

test('one beam by an alias, or best_of alone, makes no beams', async () => {
  assert.deepEqual(await asked({ num_beams: 1, beam_size: 1 }), { n: undefined, bestOf: undefined, beam: undefined });
  assert.deepEqual(await asked({ best_of: 5, n: 2 }), { n: 2, bestOf: 5, beam: undefined });
});

const beams = { use_beam_search: true, num_hypotheses: 2, beam_size: 4 };

test('a completion has the score of each hypothesis, a stream with the end of each', async () => {
  const { choices } = (await post('/v1/completions', { model: 'echo', prompt: 'ab', ...beams })).json();
  assert.deepEqual(
    choices.map((choice: { text: string; beam_score: number }) => [choice.text, choice.beam_score]),
    [
      ['ab', -0.5],
      ['ab', -1.5],
    ],
  );
  const { body } = await post('/v1/completions', { model: 'echo', prompt: 'ab', ...beams, stream: true });
  const events = body.split('\n\n').filter(event => event.startsWith('data: {'));
  const scores = events.map(event => JSON.parse(event.slice(6)).choices[0]);
  assert.deepEqual(
    scores.map(({ index, finish_reason, beam_score }) => [index, finish_reason !== null, beam_score]),
    [
      [0, false, undefined],
      [1, false, undefined],
      [0, true, -0.5],
      [1, true, -1.5],
    ],
  );
});

test('so does a chat', async () => {
  const chat = { model: 'chatty', messages: [{ role: 'user', content: 'x' }], max_tokens: 2, ...beams };
  const { choices } = (await post('/v1/chat/completions', chat)).json();
  assert.deepEqual(
    choices.map((choice: { beam_score: number }) => choice.beam_score),
    [-0.5, -1.5],
  );
  const { body } = await post('/v1/chat/completions', { ...chat, stream: true });
  assert.match(body, /"finish_reason":"length","stop_reason":null,"beam_score":-1.5/);
});

test('without beams there is no score', async () => {
  const { body } = await post('/v1/completions', { model: 'echo', prompt: 'ab' });
  assert.doesNotMatch(body, /beam_score/);
});

/** Scores of a prompt's last tokens: which queries give them, what a cut leaves, and which requests for them are refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Submission } from '../src/engine/engine.ts';
import type { TokenLogprobs } from '../src/engine/protocol.ts';
import { firstQueryNeeded, scoreQueries, scoresAStep, scoresOf, tokensWithin } from '../src/engine/scoring.ts';
import { Request } from '../src/engine/sequence.ts';
import { RedllmError } from '../src/errors.ts';
import { collect, FakeEngine, fakeModel, greedy, submission } from './fixtures/fake-engine.ts';
import { expectedAnswer } from './fixtures/fake-oracle.ts';

const prompt = Int32Array.of(5, 6, 7, 8, 9, 10);

function scoring(scored: number, maxTokens = 0, more: Partial<Submission> = {}): Submission {
  return submission(maxTokens, { prompt, scored, params: { ...greedy, logprobs: 2 }, ...more });
}

function requestOf(submitted: Submission): Request {
  return new Request({ type: 'submit', id: 1, ...submitted }, { key: 0, id: 1 }, 0);
}

test('the query before a scored token gives its score; cuts leave the rest for later steps', () => {
  const request = requestOf(scoring(3));
  const sequence = request.sequences[0]!;
  assert.equal(sequence.pending, 5, 'nothing follows the last token');
  assert.equal(scoresOf(sequence, 0, 2), 0);
  assert.equal(scoresOf(sequence, 0, 5), 3);
  assert.equal(scoresOf(sequence, 3, 1), 1);
  assert.equal(tokensWithin(sequence, 5, 3), 5);
  assert.equal(tokensWithin(sequence, 5, 1), 3);
  assert.equal(tokensWithin(sequence, 5, 0), 2);
  assert.deepEqual(scoreQueries(sequence, 0, 2), [
    { query: 2, target: 8 },
    { query: 3, target: 9 },
  ]);
  assert.equal(firstQueryNeeded(request.sequences[0]!), 2);
});

test('what was reported is not scored again when a request is computed anew', () => {
  const request = requestOf(scoring(3, 4));
  const sequence = request.sequences[0]!;
  sequence.scoresReported = 2;
  assert.equal(scoresOf(sequence, 0, 6), 1);
  assert.deepEqual(scoreQueries(sequence, 0, 1), [{ query: 4, target: 10 }]);
  assert.equal(firstQueryNeeded(request.sequences[0]!), 4);
  sequence.scoresReported = 3;
  sequence.generated.push(11, 12);
  assert.equal(scoresOf(sequence, 0, 8), 0);
  assert.equal(tokensWithin(sequence, 8, 0), 8);
  assert.equal(firstQueryNeeded(request.sequences[0]!), 7);
  assert.equal(firstQueryNeeded(requestOf(submission(3, { prompt })).sequences[0]!), 5);
});

test('the room for scores is bounded by the logits that they take', () => {
  assert.deepEqual([100, 65_536, 250_000, 10_000_000].map(scoresAStep), [256, 256, 67, 16]);
});

const refused: [what: string, request: Submission, param: string][] = [
  ['as many scores as tokens', scoring(6), 'scored'],
  ['fewer than none', scoring(-1, 3), 'scored'],
  ['half a token', scoring(1.5, 3), 'scored'],
  ['several answers', scoring(2, 3, { n: 2 }), 'n'],
  ['no log-probabilities', scoring(2, 3, { params: greedy }), 'logprobs'],
  ['nothing to do', scoring(0), 'max_tokens'],
  ['fewer tokens than none', scoring(2, -1), 'max_tokens'],
  ['too many tokens in all', scoring(2, 0, { prompt: new Int32Array(601) }), 'decoder_prompt'],
];

test('what cannot be scored is refused by its field, and the engine serves on', async () => {
  const { engine, loop } = await FakeEngine.start();
  for (const [what, request, param] of refused)
    await assert.rejects(
      collect(engine.submit(request)),
      (error: unknown) => error instanceof RedllmError && error.param === param,
      what,
    );
  assert.deepEqual((await collect(engine.submit(scoring(2)))).finishes, ['length']);
  loop.checkIdle();
  await engine.close();
});

test('scores come in order, over several events, and a prompt of the greatest length can be scored', async () => {
  const model = fakeModel('m', { encoder: false });
  const { engine, loop } = await FakeEngine.start({}, [model]);
  const tokens = Int32Array.from({ length: 600 }, (_, i) => (i * 7) % 30);
  const { events, finishes } = await collect(engine.submit(scoring(599, 0, { source: null, prompt: tokens })));
  const scores = events.flatMap((event): readonly TokenLogprobs[] => event.scores ?? []);
  assert.ok(events.length > 5 && events[0]!.queueTime !== undefined);
  assert.deepEqual(finishes, ['length']);
  const expected = expectedAnswer(model.spec, null, [...tokens], { ...greedy, maxTokens: 0, logprobs: 2 }, [1, 2], 599);
  assert.deepEqual(scores, expected.scores);
  loop.checkIdle();
  await engine.close();
});

/** Beams and best_of between a request and the engine: what is resolved, refused, chosen and counted. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GenerateRequest } from '../src/request.ts';
import { collect, type ScriptedEvent, servedModel } from './fixtures/scripted-engine.ts';

const over: ScriptedEvent[] = [0, 1, 2, 3, 4].map(index => ({ index, tokens: [2], finish: 'stop' }));

async function submitted(request: Partial<GenerateRequest>, defaults: object = {}) {
  const model = servedModel({ defaults: { endTokens: [2], ...defaults } });
  const { engine } = await collect(request, over.slice(0, request.n ?? 1), model);
  return engine.submitted[0]!;
}

const checkpoint = { numBeams: 4, lengthPenalty: 2, earlyStopping: true };

test('the request decides about beams; the checkpoint about how, where the request says nothing', async () => {
  const plain = { width: 1, lengthPenalty: 1, earlyStopping: false, patience: null };
  assert.deepEqual((await submitted({ beam: {} })).params.beam, plain);
  assert.equal((await submitted({}, checkpoint)).params.beam, null);
  const theirs = { width: 4, lengthPenalty: 2, earlyStopping: true, patience: null };
  assert.deepEqual((await submitted({ beam: {} }, checkpoint)).params.beam, theirs);
  assert.equal((await submitted({ n: 5, beam: {} }, checkpoint)).params.beam!.width, 5);
  const { n, params } = await submitted(
    { n: 2, bestOf: 3, beam: { lengthPenalty: 0, earlyStopping: 'never', patience: 2 } },
    checkpoint,
  );
  assert.equal(n, 2);
  assert.deepEqual(params.beam, { width: 3, lengthPenalty: 0, earlyStopping: 'never', patience: 2 });
});

test('beams see the model as it is, whatever the checkpoint samples with', async () => {
  const sampling = { temperature: 0.7, topK: 40, topP: 0.9, minP: 0.1, repetitionPenalty: 1.3 };
  const harmless = { temperature: 1, topK: -1, topP: 1, minP: 0, repetitionPenalty: 1, presencePenalty: 0 };
  for (const request of [{ beam: {} }, { beam: {}, ...harmless, frequencyPenalty: 0, stop: [] }]) {
    const { params } = await submitted(request, sampling);
    const plain = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };
    assert.deepEqual({ ...params, ...plain, presencePenalty: 0, frequencyPenalty: 0 }, params);
  }
});

const refused: [Partial<GenerateRequest>, string, string?][] = [
  [{ temperature: 0.5 }, 'temperature', 'unsupported'],
  [{ topK: 5 }, 'top_k', 'unsupported'],
  [{ topP: 0.5 }, 'top_p', 'unsupported'],
  [{ minP: 0.5 }, 'min_p', 'unsupported'],
  [{ repetitionPenalty: 1.2 }, 'repetition_penalty', 'unsupported'],
  [{ presencePenalty: 1 }, 'presence_penalty', 'unsupported'],
  [{ frequencyPenalty: 1 }, 'frequency_penalty', 'unsupported'],
  [{ logitBias: new Map([[1, 1]]) }, 'logit_bias', 'unsupported'],
  [{ stop: ['x'] }, 'stop', 'unsupported'],
  [{ n: 3, bestOf: 2 }, 'best_of'],
  [{ beam: { lengthPenalty: 11 } }, 'length_penalty'],
  [{ beam: { earlyStopping: 'maybe' as 'never' } }, 'early_stopping'],
  [{ n: 4, bestOf: 4, beam: { patience: 0.5 } }, 'patience'],
];

for (const [fields, param, code = 'invalid_value'] of refused)
  test(`with beams ${param} is refused`, async () => {
    await assert.rejects(collect({ beam: {}, ...fields }, []), { code, param });
  });

test('what was agreed upon comes at once, the rest with the score at the end', async () => {
  const { chunks, usage } = await collect({ n: 2, beam: {} }, [
    { tokens: [5, 6] },
    { tokens: [7, 2], finish: 'stop', beamScore: -0.5 },
    { index: 1, tokens: [5, 6, 8], finish: 'length', beamScore: -0.75 },
  ]);
  assert.deepEqual(
    chunks.map(({ index, tokens, beamScore, finish }) => [index, tokens, beamScore, finish?.reason]),
    [
      [0, [5, 6], undefined, undefined],
      [0, [7, 2], -0.5, 'stop'],
      [1, [5, 6, 8], -0.75, 'length'],
    ],
  );
  assert.equal(usage.completionTokens, 7);
});

/** An answer of so many tokens, each of this log-probability. */
function sampled(index: number, tokens: number[], logprob: number): ScriptedEvent[] {
  return tokens.map((token, at) => ({
    index,
    tokens: [token],
    logprobs: [{ logprob, rank: 1, top: [] }],
    ...(index === 0 && at === 0 && { queueTime: 0.5 }),
    ...(at === tokens.length - 1 && { finish: 'length' as const }),
  }));
}

const answers = [
  ...sampled(0, [5, 5], -2),
  ...sampled(1, [6, 6, 6], -1),
  ...sampled(2, [7], -1.5),
  ...sampled(3, [8, 8], -1),
];

test('best_of makes more answers than n and gives the most probable by token, whole and in order', async () => {
  const { chunks, usage, engine } = await collect({ n: 3, bestOf: 4 }, answers);
  assert.equal(engine.submitted[0]!.n, 4);
  assert.equal(engine.submitted[0]!.params.logprobs, 0);
  assert.deepEqual(
    chunks.map(({ index, tokens, logprobs, finish }) => [index, tokens, logprobs, finish?.reason]),
    [
      [0, [6, 6, 6], undefined, 'length'],
      [1, [8, 8], undefined, 'length'],
      [2, [7], undefined, 'length'],
    ],
  );
  assert.deepEqual(
    chunks.map(({ begin }) => begin?.queueTime),
    [0.5, undefined, undefined],
  );
  assert.equal(usage.completionTokens, 8, 'all that was made');
});

test('log-probabilities of the best come where they were asked for', async () => {
  const { chunks } = await collect({ n: 1, bestOf: 4, logprobs: 0 }, answers);
  assert.deepEqual(
    chunks.map(({ logprobs }) => logprobs?.map(({ token, logprob }) => [token, logprob])),
    [
      [
        [6, -1],
        [6, -1],
        [6, -1],
      ],
    ],
  );
});

test('best_of that equals n streams as ever', async () => {
  const { chunks } = await collect({ n: 1, bestOf: 1 }, [{ tokens: [5] }, { tokens: [6], finish: 'length' }]);
  assert.equal(chunks.length, 2);
});

/** Bad words never stand in an answer; with a list of allowed tokens nothing else does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SamplingParams } from '../src/engine/protocol.ts';
import { bannedTokens, forcedToken } from '../src/engine/sampling.ts';
import { collect, FakeEngine, fakeModel, greedy, submission } from './fixtures/fake-engine.ts';
import { expectedAnswer } from './fixtures/fake-oracle.ts';

test('the last token of a bad word is banned where its others were generated last', () => {
  const params = { ...greedy, badWords: [[5], [6, 7], [6, 6, 8]] };
  const banned = (generated: number[]) => [...bannedTokens(params, generated)];
  assert.deepEqual(banned([]), [5]);
  assert.deepEqual(banned([6]), [5, 7]);
  assert.deepEqual(banned([6, 6]), [5, 7, 8]);
  assert.deepEqual(banned([6, 1]), [5]);
});

test('a forced token that is not allowed is not forced', () => {
  const params = { ...greedy, maxTokens: 3, forcedFirst: 7, forcedLast: 8, allowedTokens: [8, 9] };
  assert.deepEqual(
    [0, 1, 2].map(step => forcedToken(params, step)),
    [-1, -1, 8],
  );
});

test('answers are those of a model that knows the bans', async () => {
  const model = fakeModel('m');
  const { engine, loop } = await FakeEngine.start({}, [model]);
  const free = (await collect(engine.submit(submission(12)))).tokens[0]!;
  const cases: Partial<SamplingParams>[] = [
    { badWords: [[free[0]!], free.slice(1, 3), free.slice(4, 7)] },
    { allowedTokens: [3, 9, 9, 27] },
    { allowedTokens: [3, 9], temperature: 1, badWords: [[3]] },
    { allowedTokens: [4], minTokens: 3, stopTokens: [4] },
    { allowedTokens: [4, 5, 6], noRepeatNgram: 2, repetitionPenalty: 2, logitBias: [[5, 3]] },
  ];
  for (const more of cases) {
    const params = { ...greedy, maxTokens: 12, ...more };
    const { tokens } = await collect(engine.submit(submission(12, { params })));
    assert.deepEqual(tokens[0], expectedAnswer(model.spec, [3, 1, 4, 1, 5], [0], params, params.seed).tokens);
    assert.ok(tokens[0]!.every(token => params.allowedTokens?.includes(token) ?? true));
  }
  loop.checkIdle();
  await engine.close();
});

test('what a row could never hold is refused, and the engine serves on', async () => {
  const { engine } = await FakeEngine.start();
  const cases: [more: Partial<SamplingParams>, param: string][] = [
    [{ badWords: [[30]] }, 'bad_words'],
    [{ badWords: [[]] }, 'bad_words'],
    [{ badWords: new Array(1025).fill([1]) }, 'bad_words'],
    [{ allowedTokens: [] }, 'allowed_token_ids'],
    [{ allowedTokens: [-1] }, 'allowed_token_ids'],
    [{ allowedTokens: new Array(1025).fill(1) }, 'allowed_token_ids'],
    [{ noRepeatNgram: -1 }, 'no_repeat_ngram_size'],
    [{ noRepeatNgram: 0.5 }, 'no_repeat_ngram_size'],
  ];
  for (const [more, param] of cases)
    await assert.rejects(collect(engine.submit(submission(5, { params: { ...greedy, ...more } }))), {
      code: 'invalid_value',
      param,
    });
  // The most that every row of a step may have at once.
  const params = {
    ...greedy,
    noRepeatNgram: 1,
    badWords: new Array(1024).fill([1]),
    allowedTokens: new Array(1024).fill(2),
  };
  const answers = await Promise.all(
    Array.from({ length: 8 }, () => collect(engine.submit(submission(40, { params })))),
  );
  for (const { finishes } of answers) assert.deepEqual(finishes, ['length']);
  await engine.close();
});

/** A request that could never run is refused at once, with the field and the numbers; those that can are not held up. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Submission } from '../src/engine/engine.ts';
import { RedllmError } from '../src/errors.ts';
import { collect, FakeEngine, fakeModel, greedy, submission } from './fixtures/fake-engine.ts';
import { fakePageBytes } from './fixtures/fake-spec.ts';

const long = (length: number) => new Int32Array(length);

const beams = (width: number) => ({ width, lengthPenalty: 1, earlyStopping: false, patience: null });

const refused: [what: string, request: Submission, code: string, param: string, says: RegExp][] = [
  [
    'too many tokens in all',
    submission(600),
    'context_length_exceeded',
    'max_tokens',
    /max_tokens is 600 .* at most 600/,
  ],
  [
    'too long a source',
    submission(5, { source: long(101) }),
    'context_length_exceeded',
    'prompt',
    /101 tokens.* most 100/,
  ],
  [
    'too long a decoder prompt',
    submission(1, { prompt: long(600) }),
    'context_length_exceeded',
    'decoder_prompt',
    /600/,
  ],
  ['more memory than there is', submission(500, { n: 4 }), 'context_length_exceeded', 'max_tokens', /MiB/],
  ['an empty source', submission(5, { source: long(0) }), 'invalid_value', 'prompt', /no tokens/],
  ['no source', submission(5, { source: null }), 'invalid_value', 'prompt', /needs a source/],
  ['more answers than rows', submission(5, { n: 9 }), 'invalid_value', 'n', /between 1 and 8/],
  ['no tokens to generate', submission(0), 'invalid_value', 'max_tokens', /at least 1/],
  [
    'a token that is none',
    submission(5, { prompt: Int32Array.of(0, 9999) }),
    'invalid_value',
    'decoder_prompt',
    /9999/,
  ],
  ['a negative token', submission(5, { source: Int32Array.of(-1) }), 'invalid_value', 'prompt', /-1/],
  [
    'a bias on no token',
    submission(5, { params: { ...greedy, logitBias: [[500_000_000, 1]] } }),
    'invalid_value',
    'logit_bias',
    /500000000/,
  ],
  [
    'a stop at no token',
    submission(5, { params: { ...greedy, stopTokens: [-2] } }),
    'invalid_value',
    'stop_token_ids',
    /-2/,
  ],
  [
    'a forced token that is none',
    submission(5, { params: { ...greedy, forcedLast: 9999 } }),
    'invalid_value',
    'forced_eos_token_id',
    /9999/,
  ],
  [
    'beams for fewer than n',
    submission(5, { n: 3, params: { ...greedy, beam: beams(2) } }),
    'invalid_value',
    'best_of',
    /3/,
  ],
  [
    'more beams than rows',
    submission(5, { params: { ...greedy, beam: beams(9) } }),
    'invalid_value',
    'best_of',
    /8 .*rows/,
  ],
  [
    'more candidates than are reported',
    submission(5, { params: { ...greedy, stopTokens: Array.from({ length: 20 }, (_, i) => i), beam: beams(7) } }),
    'invalid_value',
    'best_of',
    /with 20 end and stop tokens 6 beams/,
  ],
  ['too many alternatives', submission(5, { params: { ...greedy, logprobs: 21 } }), 'invalid_value', 'logprobs', /20/],
];

test('what could never run is refused, and the engine serves on', async () => {
  const { engine, loop } = await FakeEngine.start({ kvMemory: 200 * fakePageBytes });
  for (const [what, request, code, param, says] of refused) {
    await assert.rejects(
      collect(engine.submit(request)),
      (error: unknown) =>
        error instanceof RedllmError && error.code === code && error.param === param && says.test(error.message),
      what,
    );
  }
  assert.deepEqual((await collect(engine.submit(submission(599)))).finishes, ['length']);
  loop.checkIdle();
  await engine.close();
});

test('lengths shrink to what the memory holds, and memory for nothing is a sentence', async () => {
  const { engine } = await FakeEngine.start({ kvMemory: 20 * fakePageBytes });
  const [model] = engine.models.values();
  assert.ok(model!.maxTarget < 600 && model!.maxTarget >= 16, `${model!.maxTarget}`);
  await engine.close();
  await assert.rejects(FakeEngine.start({ kvMemory: fakePageBytes }), {
    code: 'invalid_config',
    param: 'kv-memory',
    message: /holds no request/,
  });
});

test('an unknown model is refused at the submit', async () => {
  const { engine } = await FakeEngine.start();
  assert.throws(() => engine.submit(submission(5, { model: 'other' })), { code: 'model_not_found', param: 'model' });
  await engine.close();
});

test('models share the memory: together they never hold more pages than it has', async () => {
  const models = [fakeModel('m'), fakeModel('d', { encoder: false, decoderPositions: 'zero' })];
  const fake = await FakeEngine.start({ kvMemory: 120 * fakePageBytes }, models);
  let most = 0;
  for (const native of fake.runtime.models) {
    native.onLaunch = () => {
      void fake.engine.stats().then(stats => {
        most = Math.max(
          most,
          stats.reduce((sum, { pages }) => sum + pages.self + pages.cross, 0),
        );
      });
    };
  }
  const requests = Array.from({ length: 10 }, (_, i) =>
    i % 2 === 0 ? submission(300) : submission(300, { model: 'd', source: null }),
  );
  for (const { finishes } of await Promise.all(requests.map(each => collect(fake.engine.submit(each))))) {
    assert.deepEqual(finishes, ['length']);
  }
  assert(most > 60 && most <= 120, `${most} pages at most`);
  fake.loop.checkIdle();
  await fake.engine.close();
});

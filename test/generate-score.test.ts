/** From texts and ids to what the engine scores, and from its scores to named tokens: candidates, and prompts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RedllmError } from '../src/errors.ts';
import { Generator } from '../src/generate.ts';
import type { GenerateRequest, ScoreRequest } from '../src/request.ts';
import type { ServedModel } from '../src/served-model.ts';
import { fakeSpec } from './fixtures/fake-spec.ts';
import {
  collect,
  ScriptedEngine,
  type ScriptedEvent,
  type Submission,
  servedModel,
} from './fixtures/scripted-engine.ts';
import { smallTokenizer } from './fixtures/tokenizers.ts';

const llama = smallTokenizer('byteFallback');
const t5 = smallTokenizer('metaspace');
const decoderOnly = servedModel({ tokenizer: llama });
const encoderDecoder = servedModel({ tokenizer: t5, encoder: true });
const biattn = servedModel({
  spec: fakeSpec({ encoder: false, mask: 'prefix', decoderPositions: 'zero', vocabulary: 100, windows: [0] }),
});
const score = { logprob: -0.5, rank: 2, top: [[7, -0.25] as const, [8, -0.5] as const] };

/** Scores whatever it is asked to. */
class ScoringEngine extends ScriptedEngine {
  constructor() {
    super([]);
  }

  override submit(submission: Submission, options: { signal?: AbortSignal }) {
    this.submitted.push(submission);
    const scores = Array(submission.scored).fill(score);
    return new ScriptedEngine([{ scores, cachedTokens: 3, queueTime: 0, finish: 'length' }]).submit(
      submission,
      options,
    );
  }
}

async function submitted(request: Partial<ScoreRequest>, model: ServedModel) {
  const engine = new ScoringEngine();
  await new Generator(engine, [model]).score({ model: 'm', prompt: [5], candidates: [[6]], ...request }, 4);
  return engine.submitted.map(({ source, prompt, scored, n, params }) => {
    assert.deepEqual([n, params.maxTokens], [1, 0]);
    return { source: source && [...source], prompt: [...prompt], scored };
  });
}

test('each candidate waits and is cached as its request says', async () => {
  const engine = new ScoringEngine();
  const asked = { priority: -2, client: 'c', cacheSalt: 'tenant' };
  const request = { model: 'm', prompt: [5], candidates: [[6], [7]], ...asked };
  await new Generator(engine, [encoderDecoder]).score(request, 4);
  for (const { priority, client, cacheSalt } of engine.submitted)
    assert.deepEqual({ priority, client, cacheSalt }, asked);
  assert.equal(engine.submitted.length, 2);
});

test('encoder-decoder: a text candidate is what the post-processor makes of it, ids are verbatim', async () => {
  const [source, the] = [t5.encode('he'), t5.encode('the', { addSpecialTokens: false })];
  const candidates = ['the', [9, 8]];
  assert.deepEqual(await submitted({ prompt: 'he', candidates }, encoderDecoder), [
    { source, prompt: [0, ...the, 2], scored: the.length + 1 },
    { source, prompt: [0, 9, 8], scored: 2 },
  ]);
  assert.deepEqual(
    (await submitted({ prompt: 'he', candidates, appendEos: false }, encoderDecoder)).map(({ prompt }) => prompt),
    [
      [0, ...the],
      [0, 9, 8],
    ],
  );
  assert.deepEqual(
    (await submitted({ prompt: 'he', candidates: [[9, 8], [2]], appendEos: true }, encoderDecoder)).map(
      ({ prompt }) => prompt,
    ),
    [
      [0, 9, 8, 2],
      [0, 2],
    ],
  );
});

test('encoder-decoder: a decoder prompt stands before each candidate and is not scored', async () => {
  assert.deepEqual(await submitted({ prompt: [7], decoderPrompt: [4], candidates: [[9]] }, encoderDecoder), [
    { source: [7], prompt: [0, 4, 9], scored: 1 },
  ]);
});

test('decoder-only: a text candidate goes on from the prompt without BOS and ends with EOS', async () => {
  const [prompt, he] = [llama.encode('a'), llama.encode('he', { addSpecialTokens: false })];
  assert.deepEqual(await submitted({ prompt: 'a', candidates: ['he'] }, decoderOnly), [
    { source: null, prompt: [...prompt, ...he, 2], scored: he.length + 1 },
  ]);
  assert.deepEqual(await submitted({ prompt: 'a', candidates: ['he'], appendEos: false }, decoderOnly), [
    { source: null, prompt: [...prompt, ...he], scored: he.length },
  ]);
});

test('scores are named, in the order of the candidates, and the prompt counts once', async () => {
  const engine = new ScoringEngine();
  const request = {
    model: 'm',
    prompt: [5, 5],
    candidates: [
      [6, 7],
      [8, 9],
    ],
    logprobs: 1,
  };
  const { scores, usage } = await new Generator(engine, [servedModel()]).score(request, 1);
  assert.equal(engine.submitted[0]!.params.logprobs, 1);
  assert.deepEqual(
    scores.map(({ logprobs }) => logprobs.map(({ token, logprob, rank, top }) => [token, logprob, rank, top.length])),
    [
      [
        [6, -0.5, 2, 1],
        [7, -0.5, 2, 1],
      ],
      [
        [8, -0.5, 2, 1],
        [9, -0.5, 2, 1],
      ],
    ],
  );
  assert.deepEqual(usage, { promptTokens: 6, completionTokens: 0, cachedTokens: 3 });
});

const wrong: [Partial<ScoreRequest>, string, string, ServedModel?][] = [
  [{ candidates: [] }, 'candidates', 'invalid_value'],
  [{ candidates: Array(129).fill([6]) }, 'candidates', 'invalid_value'],
  [{ candidates: [[6], []] }, 'candidates.1', 'invalid_value'],
  [{ candidates: [''] }, 'candidates.0', 'invalid_value', decoderOnly],
  [{ candidates: [[6], [100]] }, 'candidates.1', 'invalid_value'],
  [{ candidates: [[1.5]] }, 'candidates.0', 'invalid_value'],
  [{ candidates: ['x'] }, 'candidates.0', 'unsupported'],
  [{ candidates: [Array(64).fill(6)] }, 'candidates.0', 'context_length_exceeded'],
  [{ candidates: ['hello '.repeat(500)] }, 'candidates.0', 'context_length_exceeded', decoderOnly],
  [{ appendEos: true }, 'append_eos', 'unsupported', servedModel({ defaults: { endTokens: [] } })],
  [{ logprobs: 21 }, 'logprobs', 'invalid_value'],
  [{ prompt: [] }, 'prompt', 'invalid_value'],
  [{ decoderPrompt: [3] }, 'decoder_prompt', 'invalid_value'],
  [{ timeout: 0 }, 'timeout', 'invalid_value'],
  [{ model: 'nobody' }, 'model', 'model_not_found'],
];

for (const [fields, param, code, model = servedModel()] of wrong)
  test(`score refuses ${param}: ${JSON.stringify(fields).slice(0, 60)}`, async () => {
    const engine = new ScoringEngine();
    const request = { model: 'm', prompt: [5], candidates: [[6]], ...fields };
    await assert.rejects(
      new Generator(engine, [model]).score(request, 4),
      (error: unknown) => error instanceof RedllmError && error.param === param && error.code === code,
    );
    assert.equal(engine.submitted.length, 0);
  });

test('where one candidate fails, the others are cancelled', async () => {
  const engine = new ScriptedEngine([new RedllmError('queue_full', 'Full.')]);
  const request = { model: 'm', prompt: [5], candidates: [[6], [7], [8]] };
  await assert.rejects(new Generator(engine, [servedModel()]).score(request, 2), /Full/);
  assert.ok(engine.submitted.length <= 2);
  assert.equal(engine.aborted, engine.submitted.length);
});

test('a score that is no longer wanted is cancelled', async () => {
  const engine = new ScriptedEngine([null]);
  const controller = new AbortController();
  const request = { model: 'm', prompt: [5], candidates: [[6], [7]] };
  const scores = new Generator(engine, [servedModel()]).score(request, 2, controller.signal);
  setTimeout(() => controller.abort(), 5);
  await assert.rejects(scores, (error: unknown) => error instanceof RedllmError && error.code === 'cancelled');
  assert.equal(engine.aborted, 2);
});

const answered: ScriptedEvent[] = [
  { scores: [score], queueTime: 0, cachedTokens: 0 },
  { scores: [score], tokens: [] },
  { tokens: [9], logprobs: [score], finish: 'length' },
];

async function prompted(request: Partial<GenerateRequest>, model = servedModel()) {
  const { chunks, engine } = await collect({ prompt: [5, 6, 7], promptLogprobs: 1, ...request }, answered, model);
  const scores = chunks.flatMap(chunk => chunk.promptLogprobs ?? []);
  return { chunks, submitted: engine.submitted[0], scores: scores.map(({ token, logprob }) => [token, logprob]) };
}

test('the tokens of a prompt come before the answer, the first without a log-probability', async () => {
  const { chunks, submitted: sent, scores } = await prompted({});
  assert.equal(sent!.scored, 2);
  assert.equal(sent!.params.logprobs, 1);
  assert.deepEqual(scores, [
    [5, null],
    [6, -0.5],
    [7, -0.5],
  ]);
  assert.equal(chunks[0]!.promptLogprobs![1]!.top.length, 1);
  assert.ok(chunks[0]!.begin);
  assert.equal(chunks.at(-1)!.logprobs, undefined, 'those of the answer were not asked for');
  const both = await prompted({ logprobs: 2, promptLogprobs: 0 });
  assert.equal(both.submitted!.params.logprobs, 2);
  assert.equal(both.chunks.at(-1)!.logprobs![0]!.top.length, 2);
  assert.equal(both.chunks[0]!.promptLogprobs![1]!.top.length, 0);
});

test('of an encoder-decoder, those of the decoder prompt; the start token is the server’s', async () => {
  const model = servedModel({ encoder: true });
  assert.deepEqual((await prompted({ decoderPrompt: [8, 9] }, model)).scores, [
    [8, -0.5],
    [9, -0.5],
  ]);
  const startless = servedModel({ encoder: true, defaults: { endTokens: [2] } });
  assert.deepEqual((await prompted({ decoderPrompt: [7, 8, 9] }, startless)).scores, [
    [7, null],
    [8, -0.5],
    [9, -0.5],
  ]);
});

test('with nothing to score and nothing to generate, the answer ends without the engine', async () => {
  const { chunks, submitted: sent, scores } = await prompted({ prompt: [5], maxTokens: 0 });
  assert.equal(sent, undefined);
  assert.deepEqual(scores, [[5, null]]);
  assert.deepEqual([chunks.length, chunks[0]!.finish!.reason], [1, 'length']);
  const none = await prompted({ maxTokens: 0 }, servedModel({ encoder: true }));
  assert.deepEqual([none.scores, none.chunks.length], [[], 1]);
});

const refused: [Partial<GenerateRequest>, string, string, ServedModel?][] = [
  [{ promptLogprobs: -1 }, 'prompt_logprobs', 'invalid_value'],
  [{ promptLogprobs: 21 }, 'prompt_logprobs', 'invalid_value'],
  [{ promptLogprobs: 0, n: 2 }, 'n', 'unsupported'],
  [{ promptLogprobs: 0 }, 'prompt_logprobs', 'unsupported', biattn],
  [{ promptLogprobs: 0, maxTokens: -1 }, 'max_tokens', 'invalid_value'],
  [{ promptLogprobs: 0, maxTokens: 0, minTokens: 1 }, 'min_tokens', 'invalid_value'],
  [{ maxTokens: 0 }, 'max_tokens', 'invalid_value'],
];

for (const [fields, param, code, model = servedModel()] of refused)
  test(`generate refuses ${param}: ${JSON.stringify(fields)}`, async () => {
    await assert.rejects(
      collect(fields, answered, model),
      (error: unknown) => error instanceof RedllmError && error.param === param && error.code === code,
    );
  });

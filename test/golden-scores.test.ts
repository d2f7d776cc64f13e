/**
 * Scores of real models, through the whole engine: the log-softmax (in double precision) of the logits that a greedy run gives
 * for the same tokens, and bit for bit the same alone, in company and cut into small steps.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Engine, type Submission } from '../src/engine/engine.ts';
import type { TokenLogprobs } from '../src/engine/protocol.ts';
import { describeCheckpoint } from '../src/models/registry.ts';
import { DirectModel } from './fixtures/direct.ts';
import { greedy } from './fixtures/fake-engine.ts';
import { sharedPath, testDevice } from './shared.ts';

const names = ['redllm-tiny', 'decllm-tiny', 'decllm-biattn-tiny', 't5-tiny', 'bart-tiny', 'llama-tiny'];
const scored = 24;

interface Case {
  readonly request: Submission;
  /** Log-probability of each scored token. */
  readonly expected: readonly number[];
}

/** Log-probabilities of greedy tokens, after sources and prompts of several lengths. */
async function cases(name: string): Promise<Case[]> {
  const model = await DirectModel.load(sharedPath('models', 'tiny', name)!, 'float32');
  const { spec, defaults } = model.description;
  const made = [1, 7, 33].map((length): Case => {
    const input = Array.from({ length }, (_, i) => 3 + ((i * 37 + length * 11) % 380));
    const source = spec.encoder ? input : null;
    const prompt = spec.encoder ? [defaults.startToken!, ...input.slice(0, length % 3)] : input;
    const { tokens, logits } = model.greedy(source, prompt, scored);
    return {
      request: {
        model: name,
        source: source && Int32Array.from(source),
        prompt: Int32Array.from([...prompt, ...tokens]),
        n: 1,
        params: { ...greedy, maxTokens: 0, logprobs: 5 },
        scored,
        deadline: null,
        priority: 0,
        client: null,
        cacheSalt: null,
      },
      expected: tokens.map((token, i) => logSoftmax(logits[i]!, token)),
    };
  });
  model.free();
  return made;
}

function logSoftmax(logits: Float32Array, token: number): number {
  const max = logits.reduce((a, b) => Math.max(a, b));
  return logits[token]! - max - Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - max), 0));
}

async function start(maxBatchTokens: number): Promise<Engine> {
  const engine = await Engine.start({
    ...testDevice,
    isa: 'auto',
    threads: 2,
    maxBatchTokens,
    maxRows: 16,
    kvMemory: 64 << 20,
    maxQueue: 1000,
    maxQueueTokens: 1e9,
  });
  for (const name of names) {
    const { spec, defaults, weights } = await describeCheckpoint(sharedPath('models', 'tiny', name)!);
    await engine.load({ name, spec, defaults, weights, compute: 'float32', maxSource: 128, maxTarget: 128 });
  }
  return engine;
}

async function run(engine: Engine, request: Submission) {
  const scores: TokenLogprobs[] = [];
  const tokens: number[] = [];
  let finish: string | undefined;
  for await (const event of engine.submit(request)) {
    scores.push(...(event.scores ?? []));
    tokens.push(...event.tokens);
    finish = event.finish ?? finish;
  }
  return { scores, tokens, finish };
}

describe('scores', { skip: sharedPath('models', 'tiny') ? false : 'no golden models here' }, () => {
  it('are those of the greedy run, whatever runs beside them and however they are cut', async t => {
    const all = (await Promise.all(names.map(cases))).flat();
    const wide = await start(512);
    t.after(() => wide.close());
    const narrow = await start(7);
    t.after(() => narrow.close());
    const alone: Awaited<ReturnType<typeof run>>[] = [];
    for (const { request } of all) alone.push(await run(wide, request));
    for (const [i, { request, expected }] of all.entries()) {
      const { scores, tokens, finish } = alone[i]!;
      const what = `${request.model} ${i}`;
      assert.deepEqual([scores.length, tokens, finish], [scored, [], 'length'], what);
      for (const [k, { logprob, rank, top }] of scores.entries()) {
        assert.ok(Math.abs(logprob - expected[k]!) < 1e-4, `${what} ${k}: ${logprob}, expected ${expected[k]}`);
        assert.deepEqual([rank, top[0]![0]], [1, request.prompt.at(k - scored)], 'greedy tokens are the most probable');
      }
    }
    const requests = all.map(({ request }) => request);
    assert.deepEqual(await Promise.all(requests.map(request => run(wide, request))), alone);
    assert.deepEqual(await Promise.all(requests.map(request => run(narrow, request))), alone);
  });

  it('come before an answer that goes on from them, which they do not change', async t => {
    const engine = await start(48);
    t.after(() => engine.close());
    for (const name of names.filter(each => each !== 'decllm-biattn-tiny')) {
      const { request } = (await cases(name))[1]!;
      const params = { ...request.params, maxTokens: 6 };
      const only = await run(engine, request);
      const plain = await run(engine, { ...request, params, scored: 0 });
      assert.deepEqual(await run(engine, { ...request, params }), { ...plain, scores: only.scores }, name);
    }
  });
});

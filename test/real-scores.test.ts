/** Scores over HTTP from real models: an answer's own log-probabilities are those that scoring it gives, by every door. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { post, type RealServer, realServer } from './fixtures/real-server.ts';
import { sharedPath } from './shared.ts';

const names = ['redllm-tiny', 't5-tiny', 'decllm-tiny', 'decllm-biattn-tiny', 'llama-tiny'];
const encodes = new Set(['redllm-tiny', 't5-tiny']);
const prompt = [5, 17, 200, 41, 9, 77];

const skip = sharedPath('models', 'tiny') ? false : 'no golden models here';

describe('scores over HTTP', { skip }, () => {
  let server: RealServer;
  before(async () => {
    const paths = names.map(name => `${name}=${sharedPath('models', 'tiny', name)}`);
    server = await realServer(paths, { dtype: 'float32', maxModelLen: 128 });
  });
  after(() => server.close());

  const ask = async (path: string, body: object, status = 200) => {
    const response = await post(`${server.url}${path}`, body);
    const answer = await response.json();
    assert.equal(response.status, status, JSON.stringify(answer));
    // biome-ignore lint/suspicious/noExplicitAny: answers are looked at field by field
    return answer as any;
  };

  for (const model of names) {
    const fields = { model, prompt, max_tokens: 10, temperature: 0, ignore_eos: true };

    it(`of ${model} are those that its answer came with`, async () => {
      // The tokens that a bidirectional prompt's answer reads see the prompt alone, as a candidate's do.
      const { choices } = await ask('/v1/completions', { ...fields, logprobs: 0, return_token_ids: true });
      const { token_ids, logprobs } = choices[0];
      const candidates = [token_ids, [3, 4, 5], token_ids.slice(0, 4)];
      const { data, usage } = await ask('/v1/score', { model, source: prompt, candidates, logprobs: 1 });
      assert.deepEqual(data[0].tokens, token_ids);
      assert.deepEqual(data[0].token_logprobs, logprobs.token_logprobs);
      assert.deepEqual(data[2].token_logprobs, logprobs.token_logprobs.slice(0, 4));
      assert.ok(data[0].score > data[1].score);
      assert.equal(usage.prompt_tokens, prompt.length + 17);
      assert.equal(data[0].top_logprobs[0][token_ids[0]].rank, 1);
    });

    it(`of ${model} are those of echo and of prompt_logprobs`, async () => {
      const tail = [30, 31, 32];
      const read = encodes.has(model) ? { prompt, decoder_prompt: tail } : { prompt: [...prompt, ...tail] };
      const body = { ...fields, ...read, max_tokens: 0, echo: true, logprobs: 2, prompt_logprobs: 0 };
      if (model === 'decllm-biattn-tiny') {
        const { error } = await ask('/v1/completions', body, 400);
        assert.deepEqual([error.code, error.param], ['unsupported', 'echo']);
        const other = await ask('/v1/completions', { ...body, echo: false }, 400);
        assert.deepEqual([other.error.code, other.error.param], ['unsupported', 'prompt_logprobs']);
        return;
      }
      const { choices, usage } = await ask('/v1/completions', body);
      const echoed = choices[0].logprobs.token_logprobs;
      const length = encodes.has(model) ? tail.length : prompt.length + tail.length;
      assert.deepEqual([echoed.length, choices[0].prompt_logprobs.length], [length, length]);
      assert.equal(echoed[0] === null, !encodes.has(model));
      assert.equal(usage.completion_tokens, 0);
      const { data } = await ask('/v1/score', { model, source: prompt, candidates: [tail] });
      assert.deepEqual(echoed.slice(-3), data[0].token_logprobs);
      const named = choices[0].prompt_logprobs.slice(-3).map((entry: object, at: number) => {
        return (entry as Record<number, { logprob: number }>)[tail[at]!]!.logprob;
      });
      assert.deepEqual(named, data[0].token_logprobs);
      const generating = await ask('/v1/completions', { ...body, max_tokens: 5 });
      assert.deepEqual(generating.choices[0].logprobs.token_logprobs.slice(0, length), echoed);
      assert.equal(generating.choices[0].logprobs.token_logprobs.length, length + 5);
    });
  }
});

const words = sharedPath('models', 'g2p-bart-us');

describe('scores of text', { skip: words ? false : 'no trained models here' }, () => {
  it('prefer the answer that the model itself gives, and count its end token', async t => {
    const server = await realServer([`g2p=${words}`], { dtype: 'float32' });
    t.after(() => server.close());
    const ask = async (path: string, body: object) => (await post(`${server.url}${path}`, body)).json();
    const { choices } = (await ask('/v1/completions', {
      model: 'g2p',
      prompt: 'hello',
      temperature: 0,
      max_tokens: 40,
      return_token_ids: true,
      logprobs: 0,
    })) as { choices: { text: string; token_ids: number[]; logprobs: { token_logprobs: number[] } }[] };
    const [{ text, token_ids, logprobs }] = choices as [(typeof choices)[number]];
    const { data } = (await ask('/v1/score', {
      model: 'g2p',
      source: 'hello',
      candidates: [text.slice(0, -2), text],
    })) as { data: { logprob: number; tokens: number[]; token_logprobs: number[] }[] };
    assert.deepEqual(data[1]!.tokens, token_ids);
    assert.deepEqual(data[1]!.token_logprobs, logprobs.token_logprobs);
    assert.ok(data[1]!.logprob > data[0]!.logprob);
  });
});

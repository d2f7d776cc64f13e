/** Wrong input to a whole server over a real checkpoint: each a 4xx in OpenAI's envelope that names the field, and the server serves on. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { tinyConfigs, writeCheckpoint } from './fixtures/checkpoint.ts';
import { post, type RealServer, realServer } from './fixtures/real-server.ts';

let server: RealServer;
const cleanUp: (() => void)[] = [];
before(async () => {
  const context = { after: (callback: () => void) => void cleanUp.push(callback) };
  const directory = (config: Readonly<Record<string, unknown>>) => writeCheckpoint(context, { config });
  server = await realServer([`seq=${directory(tinyConfigs.t5v11)}`, `gpt=${directory(tinyConfigs.decllm)}`], {
    maxModelLen: 64,
  });
});
after(async () => {
  await server.close();
  for (const callback of cleanUp) callback();
});

const fields = { model: 'gpt', prompt: [1, 2, 3], max_tokens: 4, temperature: 0 };
const many = Array.from({ length: 65 }, () => 3);

const wrong: [what: string, body: object, status: number, param: string | null][] = [
  ['no model', { ...fields, model: undefined }, 400, 'model'],
  ['an unknown model', { ...fields, model: 'nobody' }, 404, 'model'],
  ['an empty prompt', { ...fields, prompt: [] }, 400, 'prompt'],
  ['an empty source', { ...fields, model: 'seq', prompt: [] }, 400, 'prompt'],
  ['a token that is none', { ...fields, prompt: [1, 1_000_000] }, 400, 'prompt'],
  ['a negative token', { ...fields, prompt: [-1] }, 400, 'prompt'],
  ['too long a prompt', { ...fields, prompt: many }, 400, 'prompt'],
  ['too long a source', { ...fields, model: 'seq', prompt: many }, 400, 'prompt'],
  ['text without a tokenizer', { ...fields, prompt: 'text' }, 400, 'prompt'],
  ['max_tokens 0', { ...fields, max_tokens: 0 }, 400, 'max_tokens'],
  ['max_tokens 1e9', { ...fields, max_tokens: 1e9 }, 400, 'max_tokens'],
  ['temperature -1', { ...fields, temperature: -1 }, 400, 'temperature'],
  ['temperature "hot"', { ...fields, temperature: 'hot' }, 400, 'temperature'],
  ['n 1000', { ...fields, n: 1000 }, 400, 'n'],
  ['top_p 0', { ...fields, top_p: 0 }, 400, 'top_p'],
  ['a bias on no token', { ...fields, logit_bias: { 1000000: 1 } }, 400, 'logit_bias'],
  ['a decoder prompt without a decoder', { ...fields, decoder_prompt: [1] }, 400, 'decoder_prompt'],
  ['sampled beams', { ...fields, use_beam_search: true, temperature: 0.5 }, 400, 'temperature'],
  ['beams that no batch holds', { ...fields, temperature: 0, use_beam_search: true, best_of: 100 }, 400, 'best_of'],
];

async function refused(response: Response, status: number, param: string | null, what: string): Promise<void> {
  const { error } = (await response.json()) as {
    error: { message: string; type: string; param: string; code: string };
  };
  assert.equal(response.status, status, `${what}: ${JSON.stringify(error)}`);
  assert.equal(error.param?.split('.')[0] ?? null, param, what);
  assert.ok(error.message.length > 10 && error.type && error.code, what);
}

async function serves(): Promise<void> {
  for (const model of ['gpt', 'seq']) {
    const response = await post(`${server.url}/v1/completions`, { ...fields, model, ignore_eos: true });
    const { choices } = (await response.json()) as { choices: { token_ids: number[] }[] };
    assert.equal(choices[0]?.token_ids.length, 4, model);
  }
  assert.equal((await fetch(`${server.url}/health`)).status, 200);
}

test('wrong fields are refused by name, and the server serves on', async () => {
  for (const [what, body, status, param] of wrong) {
    await refused(await post(`${server.url}/v1/completions`, body), status, param, what);
  }
  await serves();
});

test('wrong bodies are refused, and the server serves on', async () => {
  const send = (body: string | Buffer) =>
    fetch(`${server.url}/v1/completions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  await refused(await send('{"model": "gpt",'), 400, null, 'not JSON');
  await refused(await send(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])), 400, null, 'invalid UTF-8');
  await refused(await send(`{"prompt":"${'x'.repeat(10 << 20)}"}`), 413, null, '10 MB');
  await serves();
});

test('the openai client gets typed errors, aborts, and the pages are free again', async () => {
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
  await assert.rejects(client.completions.create({ ...fields, model: 'nobody' }), OpenAI.NotFoundError);
  await assert.rejects(client.completions.create({ ...fields, temperature: -1 }), OpenAI.BadRequestError);
  await assert.rejects(
    client.chat.completions.create({ model: 'gpt', messages: [{ role: 'user', content: 'hi' }] }),
    OpenAI.BadRequestError,
  );
  const stream = await client.completions.create({ ...fields, max_tokens: 60, stream: true });
  for await (const _ of stream) break;
  const held = /^vllm:kv_cache_usage_perc\{model_name="gpt"\} 0$/m;
  for (let i = 0; i < 100 && !held.test(await metrics()); i++) await new Promise(resolve => setTimeout(resolve, 20));
  assert.match(await metrics(), held);
  await serves();
});

const metrics = async () => (await fetch(`${server.url}/metrics`)).text();

/** Bodies just under the limit, with as much wrong in them as fits: each is refused for the first thing, in short. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type FakeServer, fakeServer } from './fixtures/fake-generator.ts';

let server: FakeServer;
before(async () => {
  server = await fakeServer();
});
after(() => server.close());

/** An array in JSON, of `element` as often as fits a body. */
const many = (element: string) => `[${element}${`,${element}`.repeat(Math.floor(7_800_000 / (element.length + 1)))}]`;
/** The fields of an object in JSON. */
const keys = (count: number, value = '0') =>
  Array.from({ length: count }, (_, index) => `"${index}":${value}`).join(',');

const completion = (fields: string) => ['/v1/completions', `{"model":"echo","prompt":"abc",${fields}}`] as const;
const chat = (messages: string, fields = '') =>
  ['/v1/chat/completions', `{"model":"chatty","messages":${messages}${fields}}`] as const;
const user = '{"role":"user","content":"x"}';

const bodies: [what: string, request: readonly [url: string, body: string], param: string | null, said: RegExp][] = [
  ['messages that are numbers', chat(many('1')), 'messages', /at most 4096/],
  ['messages that are right', chat(many(user)), 'messages', /at most 4096/],
  ['parts that are numbers', chat(`[{"role":"user","content":${many('1')}}]`), 'messages.0.content.0', /an object/],
  ['a message of many fields', chat(`[{${keys(500_000)}}]`), 'messages.0', /at most 256/],
  [
    'many arguments of a template',
    chat(`[${user}]`, `,"chat_template_kwargs":{${keys(500_000)}}`),
    'chat_template_kwargs',
    /at most 256/,
  ],
  ['messages to tokenise', ['/tokenize', `{"model":"chatty","messages":${many('1')}}`], 'messages', /at most 4096/],
  ['tokens that are strings', ['/detokenize', `{"model":"echo","tokens":${many('"a"')}}`], 'tokens.0', /a token id/],
  [
    'a last token that is wrong',
    ['/detokenize', `{"model":"echo","tokens":[${'1,'.repeat(3_000_000)}-1]}`],
    'tokens.3000000',
    /a token id/,
  ],
  ['fields that nobody knows', completion(keys(500_000)), null, /at most 256 fields/],
  ['a decoder prompt of strings', completion(`"decoder_prompt":${many('"a"')}`), 'decoder_prompt.0', /a token id/],
  ['a prompt of strings', ['/v1/completions', `{"model":"echo","prompt":${many('"a"')}}`], 'prompt', /at most 2048/],
  ['a prompt of null', ['/v1/completions', `{"model":"echo","prompt":${many('null')}}`], 'prompt', /at most 2048/],
  ['biases', completion(`"logit_bias":{${keys(600_000)}}`), 'logit_bias', /at most 512/],
  ['biases that are strings', completion(`"logit_bias":{${keys(600_000, '"a"')}}`), 'logit_bias', /at most 512/],
  ['biases in a list', completion(`"logit_bias":${many('1')}`), 'logit_bias', /./],
  ['stop strings that are numbers', completion(`"stop":${many('1')}`), 'stop', /at most 16/],
  ['stop tokens that are strings', completion(`"stop_token_ids":${many('"a"')}`), 'stop_token_ids', /at most 128/],
];

for (const [what, [url, payload], param, said] of bodies)
  test(`${what}: refused, and the server serves on`, async () => {
    const headers = { 'content-type': 'application/json' };
    const response = await server.fastify.inject({ method: 'POST', url, payload, headers });
    assert.equal(response.statusCode, 400);
    const { error } = response.json();
    assert.deepEqual([error.param, error.code, error.type], [param, 'invalid_value', 'invalid_request_error']);
    assert.match(error.message, said);
    assert.ok(error.message.length < 200, 'the first thing wrong, and no more');
    assert.equal((await server.fastify.inject('/health')).statusCode, 200);
  });

test('what a stream option or a body says that nobody knows is ignored', async () => {
  const [url, payload] = completion(`"stream":true,"stream_options":{${keys(100_000)}},"nobody":"knows"`);
  const headers = { 'content-type': 'application/json' };
  const response = await server.fastify.inject({ method: 'POST', url, payload, headers });
  assert.equal(response.statusCode, 200);
});

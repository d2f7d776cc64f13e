import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { tinyConfigs, writeCheckpoint } from './fixtures/checkpoint.ts';

const cli = fileURLToPath(new URL('../src/cli.js', import.meta.url));

async function serve(
  t: TestContext,
  ...flags: string[]
): Promise<{ server: ChildProcess; url: string; lines: () => string }> {
  const server = spawn(process.execPath, [cli, 'serve', '--port', '0', '--kv-memory', '64MiB', ...flags]);
  t.after(() => server.kill('SIGKILL'));
  let lines = '';
  const url = await new Promise<string>((resolve, reject) => {
    server.stderr.on('data', data => {
      lines += data;
      const found = /^listening at (http:.*)$/m.exec(lines)?.[1];
      if (found !== undefined) resolve(found);
    });
    server.on('exit', () => reject(new Error(`the server ended: ${lines}`)));
  });
  return { server, url, lines: () => lines };
}

const body = (fields: object) => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ prompt: [5, 6, 7], temperature: 0, ignore_eos: true, ...fields }),
});

test('several models serve side by side, with their settings shown', async t => {
  const encoderDecoder = writeCheckpoint(t, { config: tinyConfigs.t5v11 });
  const decoderOnly = writeCheckpoint(t, { config: tinyConfigs.decllm });
  const { url, lines } = await serve(
    t,
    '--model',
    `seq=${encoderDecoder}`,
    '--model',
    `gpt=${decoderOnly}`,
    '--max-rows',
    '8',
  );
  assert.match(lines(), /^ {2}max-rows: 8$/m);
  assert.match(lines(), /^loaded seq \(t5\): /m);
  for (const model of ['seq', 'gpt']) {
    const whole = await (await fetch(`${url}/v1/completions`, body({ model, max_tokens: 8 }))).json();
    const { choices, usage } = whole as { choices: { token_ids: number[] }[]; usage: { completion_tokens: number } };
    assert.equal(choices[0]?.token_ids.length, 8, 'a model without a tokenizer answers with ids');
    assert.equal(usage.completion_tokens, 8);
  }
});

test('where no model is named, those in the box are served', async t => {
  const { url } = await serve(t);
  const { data } = (await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string }[] };
  assert.deepEqual(
    data.map(({ id }) => id),
    ['redllm-g2p', 'decllm-g2p', 'decllm-biattn-g2p'],
  );
});

test('SIGTERM lets a running stream end well, and the process exits with 0', async t => {
  const { server, url } = await serve(t, '--model', `m=${writeCheckpoint(t, { config: tinyConfigs.decllm })}`);
  const response = await fetch(`${url}/v1/completions`, body({ model: 'm', max_tokens: 1500, stream: true }));
  const exited = once(server, 'exit');
  server.kill('SIGTERM');
  const text = await response.text();
  assert.ok(text.endsWith('data: [DONE]\n\n'));
  assert.equal(text.match(/"token_ids"/g)?.length, 1500);
  assert.deepEqual(await exited, [0, null]);
});

test('a second signal ends the process at once', async t => {
  const { server, url } = await serve(
    t,
    '--model',
    `m=${writeCheckpoint(t, { config: tinyConfigs.decllm })}`,
    '--max-model-len',
    '100000',
  );
  const response = await fetch(`${url}/v1/completions`, body({ model: 'm', max_tokens: 90_000, stream: true }));
  const read = response.text().catch(() => {});
  const exited = once(server, 'exit');
  server.kill('SIGTERM');
  while ((await fetch(`${url}/ready`)).status !== 503);
  server.kill('SIGTERM');
  assert.deepEqual(await exited, [143, null]);
  await read;
});

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, truncateSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory, tinyConfigs, writeCheckpoint } from './fixtures/checkpoint.ts';

const cli = fileURLToPath(new URL('../src/cli.js', import.meta.url));
const run = (...args: string[]) => spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8', timeout: 30_000 });

/** One sentence (after what serve says of its settings), no stack, and a non-zero exit. */
function assertRefused(args: string[], message: RegExp): void {
  const { status, stderr, stdout } = run(...args);
  const lines = stderr.trimEnd().split('\n');
  assert.equal(status, 1, `${args.join(' ')}: ${stderr}`);
  assert.equal(stdout, '');
  assert.match(lines.at(-1)!, /^redllm: .*[.?]$|^redllm: .*build:native$/);
  assert.match(lines.at(-1)!, message);
  assert.equal(
    lines.filter(line => line.startsWith('redllm: ') || line.trimStart().startsWith('at ')).length,
    1,
    stderr,
  );
}

test('a checkpoint that cannot be served ends the start with one sentence', t => {
  const folder = temporaryDirectory(t);
  assertRefused(['serve', '--model', join(folder, 'nowhere'), '--port', '0'], /no checkpoint directory.*nowhere/);
  assertRefused(['serve', '--model', folder, '--port', '0'], /has no config\.json/);

  const unknown = temporaryDirectory(t);
  writeFileSync(join(unknown, 'config.json'), JSON.stringify({ model_type: 'mamba' }));
  assertRefused(['serve', '--model', unknown, '--port', '0'], /"mamba" is not served/);

  const whole = writeCheckpoint(t, { config: tinyConfigs.llama });
  const truncated = temporaryDirectory(t);
  cpSync(whole, truncated, { recursive: true });
  truncateSync(join(truncated, 'model.safetensors'), 3000);
  assertRefused(['serve', '--model', truncated, '--port', '0'], /model\.safetensors/);

  const garbled = temporaryDirectory(t);
  copyFileSync(join(whole, 'model.safetensors'), join(garbled, 'model.safetensors'));
  writeFileSync(join(garbled, 'config.json'), '{');
  for (const command of ['serve', 'generate', 'info'])
    assertRefused([command, '--model', garbled, ...(command === 'generate' ? ['--prompt', 'x'] : [])], /config\.json/);
});

test('wrong arguments are refused by their name', t => {
  const dir = writeCheckpoint(t, { config: tinyConfigs.llama });
  assertRefused(['sreve'], /no command 'sreve'/);
  assertRefused(['serve', '--modle', dir], /no flag --modle/);
  assertRefused(['serve', '--model', dir, '--port', '-1'], /--port/);
  assertRefused(['serve', '--model', dir, '--model', dir], /NAME=DIR/);
  assertRefused(['serve', '--model', 'random:redllm-9b'], /redllm-9b.*redllm-150m/);
  assertRefused(['serve', '--model', dir, '--isa', 'neon'], /--isa must be "auto" or "plain"/);
  assertRefused(['serve', '--model', dir, '--chat-template', '/nowhere.jinja'], /\/nowhere\.jinja/);
  assertRefused(['generate', '--model', dir, '--model', `b=${dir}`, '--tokens', '1'], /takes one model/);
  assertRefused(['generate', '--model', dir], /--prompt TEXT or --tokens/);
  assertRefused(['generate', '--model', dir, '--prompt', 'text'], /no tokenizer/);
  assertRefused(['generate', '--model', dir, '--tokens', '1;2'], /--tokens must be token ids/);
  assertRefused(['generate', '--model', dir, '--tokens', '1,99'], /99, which is no token id/);
  assertRefused(
    ['generate', '--model', dir, '--tokens', '1', '--temperature', 'hot'],
    /--temperature must be a number, not 'hot'/,
  );
  assertRefused(['generate', '--model', dir, '--tokens', '1', '--logprobs', '2'], /--logprobs needs --json/);
  assertRefused(['serve', '--model', dir, '--device', 'gpu'], /--device must be "auto", "cpu", "cuda" or "cuda:N"/);
  assertRefused(['serve', '--model', dir, '--device', 'cuda:77'], /The setting device is 'cuda:77', but .*: .*\./);
});

test('a port in use is said so', async t => {
  const dir = writeCheckpoint(t, { config: tinyConfigs.llama });
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise(resolve => server.once('listening', resolve));
  t.after(() => server.close());
  const port = String((server.address() as AddressInfo).port);
  assertRefused(
    ['serve', '--model', dir, '--port', port, '--kv-memory', '1MiB'],
    new RegExp(`cannot listen at 127\\.0\\.0\\.1:${port}.*EADDRINUSE`),
  );
});

test('help lists every flag, version is the package’s', () => {
  const { status, stdout } = run('--help');
  assert.equal(status, 0);
  for (const flag of [
    '--model',
    '--max-batch-tokens',
    '--kv-memory',
    '--shutdown-timeout',
    '--config',
    '--decoder-prompt',
    '--json',
  ])
    assert.ok(stdout.includes(`  ${flag} `), flag);
  assert.ok(stdout.split('\n').every(line => line.length <= 140));
  assert.match(run('--version').stdout, /^\d+\.\d+\.\d+\n$/);
  assert.equal(run('serve', '--help').stdout, stdout);
});

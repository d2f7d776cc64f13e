import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { tinyConfigs, writeCheckpoint } from './fixtures/checkpoint.ts';
import { sharedPath, skipWithout } from './shared.ts';

const cli = fileURLToPath(new URL('../src/cli.js', import.meta.url));

function run(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8', timeout: 60_000 });
  assert.equal(status, 0, stderr);
  return stdout;
}

test('token ids in, token ids out, of a checkpoint without a tokenizer', t => {
  const dir = writeCheckpoint(t, { config: tinyConfigs.redllm });
  const flags = ['--model', dir, '--tokens', '5,6,7', '--max-tokens', '4', '--ignore-eos'];
  const { choices, usage } = JSON.parse(run('generate', ...flags, '--logprobs', '2', '--json'));
  assert.equal(choices[0].tokens.length, 4);
  assert.equal(choices[0].finish_reason, 'length');
  assert.deepEqual(
    choices[0].logprobs.map((one: { top: object[] }) => one.top.length),
    [2, 2, 2, 2],
  );
  assert.deepEqual(usage, { prompt_tokens: 3, completion_tokens: 4 });
  assert.equal(run('generate', ...flags), `${choices[0].tokens.join(',')}\n`);
});

test('where no model is named, the first in the box answers', () => {
  assert.match(run('generate', '--prompt', 'cat'), /^K AE1 T\n$/);
});

test('the same seed samples the same answers', t => {
  const dir = writeCheckpoint(t, { config: tinyConfigs.llama });
  const flags = [
    '--model',
    dir,
    '--tokens',
    '5,6,7',
    '--max-tokens',
    '12',
    '--temperature',
    '1',
    '--n',
    '2',
    '--ignore-eos',
    '--json',
  ];
  const once = run('generate', ...flags, '--seed', '3');
  assert.equal(run('generate', ...flags, '--seed', '3'), once);
  const [a, b] = JSON.parse(once).choices;
  assert.notDeepEqual(a.tokens, b.tokens, 'each of the n has its own stream');
});

test('text is streamed as the golden story has it', { skip: skipWithout('models', 'stories260k') }, () => {
  const { text, greedy } = JSON.parse(readFileSync(sharedPath('models', 'stories260k', 'golden.json')!, 'utf8'));
  const dir = sharedPath('models', 'stories260k')!;
  const story = run('generate', '--model', dir, '--tokens', '1', '--max-tokens', String(greedy.length - 1));
  assert.equal(story.trim(), text.trim());
});

test('info says what a checkpoint is and what it takes', t => {
  const dir = writeCheckpoint(t, { config: tinyConfigs.redllm });
  const { models, device } = JSON.parse(run('info', '--model', dir, '--max-model-len', '100', '--json'));
  const [model] = models;
  assert.equal(model.architecture, 'encoder-decoder');
  assert.deepEqual(model.layers, { encoder: 2, decoder: 2 });
  assert.deepEqual(model.limits, { source: 100, target: 100 });
  assert.equal(model.dtype, 'float32');
  // 2 layers, keys and values, 2 heads of 8, 4 bytes each; kernels may pad.
  assert.ok(model.kvBytesPerToken.self >= 256 && model.kvBytesPerToken.self <= 1024, model.kvBytesPerToken.self);
  assert.equal(model.kvBytesPerToken.cross, model.kvBytesPerToken.self);
  assert.ok(device.available.some((one: { available: boolean }) => one.available));
  assert.match(run('info', '--model', dir), /^architecture +redllm, encoder-decoder$/m);
});

test('auto takes bfloat16 where the checkpoint is bfloat16', t => {
  const dir = writeCheckpoint(t, { config: tinyConfigs.llama, type: 'BF16' });
  const dtype = (...flags: string[]) => JSON.parse(run('info', '--model', dir, '--json', ...flags)).models[0].dtype;
  assert.equal(dtype(), 'bfloat16');
  assert.equal(dtype('--dtype', 'float32'), 'float32');
});

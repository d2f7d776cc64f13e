/**
 * The CUDA library as it was built, on a machine that may have no GPU, and the emulated one in its place. Each is built where it can
 * be: its tests skip where it was not.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadAddon } from '../src/native.ts';
import { packageRoot } from '../src/package-root.ts';
import { tinyConfigs, writeCheckpoint } from './fixtures/checkpoint.ts';

const cli = join(packageRoot, 'dist', 'src', 'cli.js');
const real = join(packageRoot, 'build', 'Release', 'libredllm_cuda.so');
const emulated = join(packageRoot, 'build', 'libredllm_cuda_emu.so');
const skipReal = existsSync(real) ? false : 'the CUDA backend was not built: there is no nvcc';
const skipEmulated = existsSync(emulated) ? false : 'the emulated CUDA backend was not built';
const cudaOf = (library?: string) =>
  loadAddon()
    .devices(library)
    .filter(({ name }) => name.startsWith('cuda'));
const hasGpu = cudaOf(real)[0]!.available;
const skipGpu = hasGpu ? 'this machine has a GPU' : skipReal;

function run(library: string | undefined, ...args: string[]) {
  const { REDLLM_CUDA_LIBRARY: _, ...environment } = process.env;
  const env = library === undefined ? environment : { ...environment, REDLLM_CUDA_LIBRARY: library };
  return spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8', timeout: 60_000, env });
}

/** What a tool of the compiler's says of the library, or null where it is not installed. */
function tool(name: string, ...args: string[]): string | null {
  const { status, stdout } = spawnSync(name, args, { encoding: 'utf8' });
  return status === 0 ? stdout : null;
}

for (const [what, path, skip, exported] of [
  ['the CUDA library', real, skipReal, ['redllm_device_library']],
  // and the order in which it is to run threads
  ['the emulated CUDA library', emulated, skipEmulated, ['redllm_device_library', 'redllm_emu_order']],
] as const)
  test(`${what} exports nothing but ${exported.join(' and ')}`, { skip }, t => {
    const symbols = tool('nm', '-D', '--defined-only', path);
    if (symbols === null) return t.skip('there is no nm');
    assert.deepEqual(
      symbols
        .trim()
        .split('\n')
        .map(line => line.split(' ').at(-1)),
      exported,
    );
  });

test('the CUDA library needs neither the driver nor the runtime to be there', { skip: skipReal }, t => {
  const headers = tool('readelf', '-d', real);
  if (headers === null) return t.skip('there is no readelf');
  const needed = [...headers.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map(([, name]) => name!);
  assert(needed.length > 0);
  for (const name of needed) assert.match(name, /^(ld-linux.*|lib(c|m|dl|rt|pthread)\.so\.\d+)$/);
});

test('without a driver the library declines in a sentence, and the CPU serves', { skip: skipGpu }, t => {
  const sentence = /no NVIDIA driver is installed|the NVIDIA driver (finds no GPU|serves CUDA|cannot be asked)/;
  assert.match(cudaOf()[0]!.detail, sentence);
  const info = run(undefined, 'info');
  assert.match(info.stdout, /^device +cpu .*; no CUDA device: /m);
  assert.match(info.stdout, sentence);
  const model = `m=${writeCheckpoint(t, { config: tinyConfigs.llama })}`;
  const request = ['--model', model, '--tokens', '5,6,7', '--max-tokens', '4', '--kv-memory', '64MiB'];
  const refused = run(undefined, 'generate', ...request, '--device', 'cuda');
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /^redllm: The setting device is 'cuda', but that cannot be opened: .*\.$/m);
  assert.match(refused.stderr, sentence);
  const served = run(undefined, 'generate', ...request, '--device', 'auto');
  assert.equal(served.status, 0, served.stderr);
  assert.match(served.stdout, /^\d+(,\d+)*$/m);
});

test('a library that is missing, or is none, is a sentence that names it', () => {
  assert.deepEqual(cudaOf('/nowhere/libredllm_cuda.so'), [
    { name: 'cuda', available: false, detail: 'there is no library /nowhere/libredllm_cuda.so' },
  ]);
  const addon = join(packageRoot, 'build', 'Release', 'redllm.node');
  assert.match(cudaOf(addon)[0]!.detail, /redllm\.node is not a device library of redllm$/);
  assert.match(cudaOf(join(packageRoot, 'package.json'))[0]!.detail, /could not be opened: .*package\.json/);
  const refused = run('/nowhere/libredllm_cuda.so', 'info', '--device', 'cuda:1');
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /'cuda:1', .* there is no library \/nowhere\/libredllm_cuda\.so\.$/m);
});

test('the emulated library is opened like the real one', { skip: skipEmulated }, () => {
  const { stdout, stderr, status } = run(emulated, 'info', '--json');
  assert.equal(status, 0, stderr);
  const { device } = JSON.parse(stdout);
  assert.equal(device.name, 'cuda:0 emulated');
  assert.equal(device.notice, 'the emulator has no cuBLASLt');
  const [report] = cudaOf(emulated);
  assert.equal(report!.available, true);
  assert.match(report!.detail, /emulator.*compute capability/);
  assert.match(run(emulated, 'info', '--device', 'cuda:7').stderr, /there is no device 7/);
  const runtime = loadAddon().createRuntime({ device: 'cuda:0', isa: 'auto', threads: 0, library: emulated });
  const { free, total } = runtime.memory();
  assert(free > 0 && free < total);
  assert.equal(runtime.threads, 0);
  runtime.free();
});

test('a request gives the CPU’s answer on the emulated device, step by step and replayed', {
  skip: skipEmulated,
}, t => {
  for (const config of [tinyConfigs.decllm, tinyConfigs.t5v11]) {
    const model = `m=${writeCheckpoint(t, { config })}`;
    const request = ['--model', model, '--tokens', '5,6,7,8,9', '--max-tokens', '20', '--n', '2', '--ignore-eos'];
    const limits = ['--max-model-len', '64', '--max-batch-tokens', '64', '--dtype', 'float32'];
    const answers = ['cpu', 'cuda'].map(device =>
      run(emulated, 'generate', ...request, ...limits, '--temperature', '1', '--seed', '5', '--device', device),
    );
    assert.equal(answers[1]!.status, 0, answers[1]!.stderr);
    assert.match(answers[0]!.stdout, /^(\d+(,\d+){19}\n){2}$/);
    assert.equal(answers[1]!.stdout, answers[0]!.stdout);
  }
});

test('heads that the kernels do not take are refused, and served on the CPU', { skip: skipEmulated }, t => {
  const request = [
    '--model',
    `m=${writeCheckpoint(t, { config: tinyConfigs.llama })}`,
    '--tokens',
    '5,6',
    '--max-tokens',
    '2',
  ];
  const refused = run(emulated, 'generate', ...request, '--max-model-len', '64', '--device', 'cuda');
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /^redllm: Model 'm' has heads of 4 elements; on cuda:0 emulated they must be .*\.$/m);
  assert.equal(run(emulated, 'generate', ...request, '--device', 'cpu').status, 0);
});

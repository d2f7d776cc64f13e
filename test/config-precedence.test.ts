import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { configSchema, describeConfig, parseFlags, readConfig, settingFlags } from '../src/config.ts';
import { RedllmError } from '../src/errors.ts';

const folder = mkdtempSync(join(tmpdir(), 'redllm-config-'));
after(() => rmSync(folder, { recursive: true }));

function file(content: object | string): string {
  const path = join(folder, 'redllm.json');
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

const read = (flags: string[], environment: Record<string, string> = {}) =>
  readConfig(parseFlags(flags, settingFlags()), environment);

test('without any setting the defaults hold', () => {
  const config = read([]);
  assert.deepEqual(config, configSchema.parse({}));
  assert.deepEqual([config.host, config.port, config.model], ['127.0.0.1', 8000, []]);
});

test('defaults < file < environment < flags', () => {
  const path = file({ 'max-rows': 1, 'max-queue': 1, threads: 1 });
  const environment = { REDLLM_MAX_ROWS: '2', REDLLM_MAX_QUEUE: '2' };
  const config = read(['--config', path, '--max-rows', '3'], environment);
  assert.deepEqual([config.maxRows, config.maxQueue, config.threads, config.port], [3, 2, 1, 8000]);
  assert.equal(read([], { ...environment, REDLLM_CONFIG: path }).threads, 1);
});

test('values may be written as people write them', () => {
  const flags = [
    '--kv-memory',
    '1.5GiB',
    '--body-limit',
    '10kB',
    '--request-timeout',
    '0.5',
    '--model',
    'a',
    '--model',
    'b=c',
  ];
  const config = read(flags, { REDLLM_API_KEY: 'x,y' });
  assert.equal(config.kvMemory, 1.5 * 2 ** 30);
  assert.equal(config.bodyLimit, 10_000);
  assert.equal(config.requestTimeout, 0.5);
  assert.deepEqual(config.model, ['a', 'b=c']);
  assert.deepEqual(config.apiKey, ['x', 'y']);
  assert.deepEqual(read(['--config', file({ model: ['a', 'b'], 'kv-memory': 4096 })]).model, ['a', 'b']);
});

const wrong: [string, string[], Record<string, string>, object | string | null, RegExp][] = [
  ['an unknown flag', ['--max-row', '3'], {}, null, /^There is no flag --max-row; --help lists those there are\.$/],
  ['a stray word', ['stray'], {}, null, /^'stray' is not expected here/],
  ['a flag without its value', ['--port'], {}, null, /^--port needs a value/],
  ['a flag with another flag for its value', ['--port', '--host'], {}, null, /^--port needs a value/],
  ['an unknown key', [], {}, { prot: 1 }, /^There is no setting 'prot' \(in .*redllm\.json\)\.$/],
  ['a file that is not JSON', [], {}, '{', /redllm\.json cannot be read/],
  ['a file of another shape', [], {}, [], /must hold a JSON object/],
  ['a file that does not exist', ['--config', '/nowhere.json'], {}, null, /\/nowhere\.json cannot be read/],
  ['a wrong flag', ['--port', 'abc'], {}, null, /^--port must be an integer from 0 to 65535, not "abc"\.$/],
  ['a flag out of range', ['--port', '70000'], {}, null, /^--port must be an integer from 0 to 65535, not "70000"\.$/],
  ['a wrong variable', [], { REDLLM_MAX_ROWS: '-1' }, null, /^REDLLM_MAX_ROWS must be an integer from 1 to 4096/],
  [
    'a wrong key',
    [],
    {},
    { dtype: 'int8' },
    /^'dtype' in .*redllm\.json must be "auto" or "float32" or "bfloat16", not "int8"\.$/,
  ],
  [
    'a wrong size',
    ['--kv-memory', 'lots'],
    {},
    null,
    /^--kv-memory must be a number of bytes, such as 512MiB or 2GiB, not "lots"\.$/,
  ],
];

for (const [what, flags, environment, content, message] of wrong)
  test(`${what} is refused in a sentence that names it`, () => {
    const given = content === null ? flags : ['--config', file(content), ...flags];
    assert.throws(
      () => read(given, environment),
      (error: unknown) => {
        assert.ok(error instanceof RedllmError);
        assert.equal(error.code, 'invalid_config');
        assert.match(error.message, message);
        assert.ok(!error.message.includes('\n'));
        return true;
      },
    );
  });

test('the description shows every setting and no key', () => {
  const shown = describeConfig(read(['--api-key', 'secret', '--model', 'dir', '--port', '0']));
  assert.match(shown, /^ {2}port: 0$/m);
  assert.match(shown, /^ {2}model: dir$/m);
  assert.match(shown, /^ {2}api-key: \(hidden\)$/m);
  assert.ok(!shown.includes('secret'));
  assert.throws(
    () => read([], { REDLLM_API_KEY: 'secret,' }),
    (error: Error) => !error.message.includes('secret'),
  );
});

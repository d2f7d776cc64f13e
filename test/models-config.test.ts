import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Config } from '../src/models/config.ts';
import { temporaryDirectory } from './fixtures/checkpoint.ts';
import { redllmError } from './fixtures/errors.ts';

const config = new Config({
  heads: '8',
  zero: 0,
  half: 0.5,
  huge: 2 ** 40,
  text: 7,
  flag: 'yes',
  nothing: null,
  list: [1],
  rope: { theta: -1 },
  eos: [3, 4, 3],
  far: [3, 900],
  ['__proto__']: 3,
});

function throws(read: () => unknown, words: RegExp, param: string): void {
  assert.throws(read, redllmError('invalid_checkpoint', words, param));
}

test('a wrong value is named with its field, the rule and the value', () => {
  throws(() => config.integer('heads'), /^config\.json: heads must be a positive integer, not "8"\.$/, 'heads');
  throws(() => config.integer('zero'), /zero must be a positive integer, not 0\.$/, 'zero');
  throws(() => config.integer('half', { least: 0 }), /half must be an integer of at least 0, not 0\.5/, 'half');
  throws(() => config.integer('zero', { least: 2, most: 4 }), /must be an integer from 2 to 4/, 'zero');
  throws(() => config.integer('huge'), /huge must be a positive integer/, 'huge');
  throws(() => config.string('text'), /text must be a string, not 7/, 'text');
  throws(() => config.boolean('flag'), /flag must be true or false, not "yes"/, 'flag');
  throws(() => config.oneOf('flag', ['a', 'b']), /flag must be one of "a", "b", not "yes"/, 'flag');
  throws(() => config.number('zero', { above: 0 }), /zero must be a number greater than 0, not 0/, 'zero');
  throws(() => config.number('half', { least: 1, most: 2 }), /must be a number at least 1 and at most 2/, 'half');
  throws(() => config.number('list'), /list must be a number, not a list/, 'list');
  throws(() => config.object('list'), /list must be an object, not a list/, 'list');
});

test('an absent or null field is missing, or takes the given default', () => {
  throws(
    () => config.integer('absent'),
    /^config\.json: absent is missing; it must be a positive integer\.$/,
    'absent',
  );
  throws(() => config.string('nothing'), /nothing is missing/, 'nothing');
  assert.equal(config.integer('nothing', { or: 5 }), 5);
  assert.equal(config.boolean('absent', true), true);
  assert.equal(config.object('absent'), undefined);
  assert.equal(config.has('nothing'), false);
  assert.equal(config.isNull('nothing'), true);
  assert.equal(config.isNull('absent'), false);
  assert.equal(config.has('toString'), false);
});

test('a nested object names its fields by their path', () => {
  throws(() => config.object('rope')?.number('theta', { above: 0 }), /rope\.theta must be/, 'rope.theta');
});

test('token ids are one number or a list, inside the vocabulary', () => {
  assert.deepEqual(config.tokens('eos', 10), [3, 4]);
  assert.deepEqual(config.tokens('zero', 10), [0]);
  assert.equal(config.tokens('absent', 10), undefined);
  throws(() => config.tokens('far', 10), /far must be a token id from 0 to 9, or a list of them/, 'far');
  throws(() => config.token('huge', 10), /huge must be an integer from 0 to 9/, 'huge');
});

test('a file that is no JSON object is refused by name', async t => {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'config.json');
  for (const [text, words] of [
    ['{"a": NaN}', /^config\.json is not valid JSON/],
    ['', /^config\.json is not valid JSON/],
    ['[1]', /^config\.json must hold a JSON object, not a list/],
    ['null', /^config\.json must hold a JSON object, not null/],
  ] as const) {
    writeFileSync(path, text);
    await assert.rejects(Config.read(path), redllmError('invalid_checkpoint', words, 'config.json'));
  }
  await assert.rejects(Config.read(directory), redllmError('invalid_checkpoint', /is not a regular file/));
  await assert.rejects(Config.read(join(directory, 'x')), redllmError('invalid_checkpoint', /^x could not be read/));
});

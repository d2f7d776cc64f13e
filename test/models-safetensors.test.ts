/** One broken header after another. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { readSafetensors } from '../src/models/safetensors.ts';
import { rawSafetensors, temporaryDirectory } from './fixtures/checkpoint.ts';
import { redllmError } from './fixtures/errors.ts';

const entry = (change: object = {}) => ({ dtype: 'F32', shape: [2, 2], data_offsets: [0, 16], ...change });

function write(t: TestContext, bytes: Uint8Array): string {
  const path = join(temporaryDirectory(t), 'model.safetensors');
  writeFileSync(path, bytes);
  return path;
}

const withHeader = (header: unknown, dataBytes = 16) =>
  rawSafetensors(typeof header === 'string' ? header : JSON.stringify(header), new Uint8Array(dataBytes));

test('a sound header gives names, types, shapes and places', async t => {
  const header = {
    __metadata__: { format: 'pt' },
    a: entry(),
    b: { dtype: 'I64', shape: [], data_offsets: [16, 24] },
    c: { dtype: 'BF16', shape: [3, 0], data_offsets: [8, 8] },
  };
  const path = write(t, withHeader(header, 24));
  const start = 8 + JSON.stringify(header).length;
  assert.deepEqual(
    [...(await readSafetensors(path))],
    [
      ['a', { file: path, type: 'F32', shape: [2, 2], offset: start, bytes: 16 }],
      ['b', { file: path, type: 'I64', shape: [], offset: start + 16, bytes: 8 }],
      ['c', { file: path, type: 'BF16', shape: [3, 0], offset: start + 8, bytes: 0 }],
    ],
  );
});

const broken: readonly (readonly [what: string, bytes: Uint8Array, words: RegExp])[] = [
  ['an empty file', new Uint8Array(), /is cut short: it has 0 bytes, no header/],
  ['a file of five bytes', new Uint8Array(5), /is cut short/],
  [
    'an absurd header length',
    new Uint8Array(64).fill(255),
    /not a safetensors file: its header would take 18446744073709551615/,
  ],
  ['a header cut short', withHeader({ a: entry() }).subarray(0, 30), /is cut short: its header takes/],
  ['an empty header', new Uint8Array(8), /header of model\.safetensors is not valid JSON/],
  ['a header that is not JSON', withHeader('{"a": '), /header of model\.safetensors is not valid JSON/],
  ['a header that is no object', withHeader('[]'), /must hold a JSON object, not a list/],
  ['a header that is not UTF-8', rawSafetensors(new Uint8Array([0x7b, 0xff, 0x7d])), /is not UTF-8/],
  ['a tensor named twice', withHeader(`{"a": ${JSON.stringify(entry())}, "\\u0061" : {}}`), /holds the key "a" twice/],
  ['a field named twice', withHeader('{"a": {"dtype": "F32", "dtype": "F16"}}'), /holds the key "dtype" twice/],
  ['an entry that is no object', withHeader({ a: 3 }), /tensor "a" has no description/],
  ['an unknown type', withHeader({ a: entry({ dtype: 'F31' }) }), /tensor "a" has the unknown dtype "F31"/],
  ['no type', withHeader({ a: entry({ dtype: undefined }) }), /tensor "a" has the unknown dtype undefined/],
  ['a negative size', withHeader({ a: entry({ shape: [-2, -2] }) }), /tensor "a" has no shape made of whole numbers/],
  ['no shape', withHeader({ a: entry({ shape: 4 }) }), /tensor "a" has no shape/],
  ['no offsets', withHeader({ a: entry({ data_offsets: [0] }) }), /tensor "a" has no pair of data_offsets/],
  ['offsets in reverse', withHeader({ a: entry({ data_offsets: [16, 0] }) }), /tensor "a" lies at 16 to 0/],
  ['data cut short', withHeader({ a: entry() }, 15), /tensor "a" lies at 0 to 16, but the file holds 15 bytes of data/],
  [
    'a wrong length',
    withHeader({ a: entry({ data_offsets: [0, 12] }) }),
    /takes 12 bytes, but F32 of shape \[2, 2\] does not/,
  ],
  ['a size beyond counting', withHeader({ a: entry({ shape: [2 ** 52, 2 ** 52] }) }), /takes 16 bytes, but F32/],
  ['overlap', withHeader({ a: entry(), b: entry({ data_offsets: [8, 24] }) }, 24), /tensors "a" and "b" overlap/],
  ['two tensors in one place', withHeader({ a: entry(), b: entry() }), /tensors "a" and "b" overlap/],
];

for (const [what, bytes, words] of broken) {
  test(`${what} is refused`, async t => {
    await assert.rejects(readSafetensors(write(t, bytes)), redllmError('invalid_checkpoint', words));
  });
}

test('a tensor named __proto__ is one like any other', async t => {
  const tensors = await readSafetensors(write(t, withHeader(`{"__proto__": ${JSON.stringify(entry())}}`)));
  assert.deepEqual([...tensors.keys()], ['__proto__']);
});

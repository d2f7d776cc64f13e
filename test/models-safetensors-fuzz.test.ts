/** Whatever a file holds, reading its header ends in tensors that lie inside it or in a RedllmError. */
import assert from 'node:assert/strict';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { RedllmError } from '../src/errors.ts';
import { readSafetensors } from '../src/models/safetensors.ts';
import { randomTensors, rawSafetensors, safetensors, temporaryDirectory, tinyConfigs } from './fixtures/checkpoint.ts';

const whole = safetensors(randomTensors({ ...tinyConfigs.decllm, num_hidden_layers: 1 }));
const headerEnd = 8 + Number(whole.readBigUInt64LE(0));

async function survives(path: string, bytes: Uint8Array): Promise<void> {
  writeFileSync(path, bytes);
  try {
    for (const [name, { offset, bytes: count }] of await readSafetensors(path)) {
      assert.ok(offset >= 8 && offset + count <= bytes.length, name);
    }
  } catch (error) {
    if (!(error instanceof RedllmError)) throw error;
    assert.equal(error.code, 'invalid_checkpoint');
    assert.ok(error.message.length < 400, error.message);
  }
}

test('bytes of the header changed, removed or inserted', async t => {
  const path = join(temporaryDirectory(t), 'model.safetensors');
  const edit = fc.record({
    at: fc.nat(headerEnd - 1),
    remove: fc.nat(12),
    insert: fc.oneof(
      fc.uint8Array({ maxLength: 12 }),
      fc.string({ maxLength: 12 }).map(text => Buffer.from(text)),
    ),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 4 }), async edits => {
      let bytes: Buffer = whole;
      for (const { at, remove, insert } of edits) {
        bytes = Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(at + remove)]);
      }
      await survives(path, bytes);
    }),
    { numRuns: 500 },
  );
});

test('a well-formed header with fields replaced by any JSON', async t => {
  const path = join(temporaryDirectory(t), 'model.safetensors');
  const size = fc.oneof(fc.nat(40), fc.maxSafeNat(), fc.double(), fc.constantFrom(-1, 1e308, 2 ** 53, '4', null));
  const header = fc.dictionary(
    fc.string({ maxLength: 8 }),
    fc.oneof(
      fc.jsonValue({ maxDepth: 2 }),
      fc.record(
        {
          dtype: fc.oneof(fc.constantFrom('F32', 'BF16', 'F16', 'I64', 'F4', 'F6_E2M3', 'X'), fc.jsonValue()),
          shape: fc.oneof(fc.array(size, { maxLength: 5 }), fc.jsonValue()),
          data_offsets: fc.oneof(fc.array(size, { minLength: 2, maxLength: 2 }), fc.jsonValue()),
        },
        { requiredKeys: [] },
      ),
    ),
    { maxKeys: 6 },
  );
  await fc.assert(
    fc.asyncProperty(header, fc.nat(200), async (value, dataBytes) => {
      await survives(path, rawSafetensors(JSON.stringify(value), new Uint8Array(dataBytes)));
    }),
    { numRuns: 500 },
  );
});

test('a header length up to the limit costs no memory that the file does not have', async t => {
  const path = join(temporaryDirectory(t), 'model.safetensors');
  await fc.assert(
    fc.asyncProperty(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.boolean(), async (length, small) => {
      const bytes = Buffer.from(whole);
      bytes.writeBigUInt64LE(small ? length % 200_000_000n : length);
      const before = process.memoryUsage().arrayBuffers;
      await survives(path, bytes);
      assert.ok(process.memoryUsage().arrayBuffers - before < 32 << 20);
    }),
    { numRuns: 200 },
  );
});

test('lists nested a million deep neither hang nor overflow the stack', async t => {
  const path = join(temporaryDirectory(t), 'model.safetensors');
  const deep = 1_000_000;
  await survives(path, rawSafetensors(`{"a": ${'['.repeat(deep)}${']'.repeat(deep)}}`));
  await survives(path, rawSafetensors('{"a":'.repeat(deep)));
});

test('a file of 5 GB without data is read as fast as a small one', async t => {
  const path = join(temporaryDirectory(t), 'model.safetensors');
  writeFileSync(path, whole);
  truncateSync(path, 5 * 2 ** 30);
  assert.equal((await readSafetensors(path)).size, 11);
});

/** A checkpoint in llama.cpp's format: what stands where, and queries whose rows have changed places. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { writeGguf } from '../bench/serve/write-gguf.ts';
import { storedTensors } from '../src/models/checkpoint.ts';
import { temporaryDirectory, tinyConfigs, writeCheckpoint, writeJson } from './fixtures/checkpoint.ts';

const config = { ...tinyConfigs.llama, rms_norm_eps: 1e-5 };
const vocab = Object.fromEntries(
  Array.from({ length: config.vocab_size }, (_, id) => [['<unk>', '<s>', '</s>', '<0x0A>'][id] ?? `▁${id}`, id]),
);
const special = (id: number, content: string) => ({ id, content, special: true });
const tokenizer = { model: { vocab }, added_tokens: [special(0, '<unk>'), special(1, '<s>'), special(2, '</s>')] };

it('has every tensor, aligned, with the rows of queries and keys where llama.cpp rotates them', async t => {
  const folder = writeCheckpoint(t, { config });
  writeJson(folder, 'tokenizer.json', tokenizer);
  const path = join(temporaryDirectory(t), 'tiny.gguf');
  await writeGguf(folder, path);
  const file = readFileSync(path);
  const stored = await storedTensors(folder);
  assert.equal(file.toString('latin1', 0, 4), 'GGUF');
  assert.equal(file.readUInt32LE(4), 3);
  assert.equal(Number(file.readBigUInt64LE(8)), stored.size);
  assert.equal(file.length % 32, 0);

  const find = (name: string) => {
    const at = file.indexOf(Buffer.from(name)) + name.length;
    const dimensions = [4, 12].map(offset => Number(file.readBigUInt64LE(at + offset)));
    return { dimensions, offset: Number(file.readBigUInt64LE(at + 24)) };
  };
  const query = find('blk.1.attn_q.weight');
  assert.deepEqual(query.dimensions, [16, 16]);
  const { file: from, offset, bytes } = stored.get('model.layers.1.self_attn.q_proj.weight')!;
  const rows = readFileSync(from).subarray(offset, offset + bytes);
  // Heads of 4: rows 0, 2, 1, 3 of each, as halves become neighbours.
  const expected = Array.from({ length: 16 }, (_, row) => {
    const was = row - (row % 4) + [0, 2, 1, 3][row % 4]!;
    return rows.subarray(was * 64, (was + 1) * 64);
  });
  const data = file.indexOf(rows.subarray(0, 64));
  assert.deepEqual(file.subarray(data, data + bytes), Buffer.concat(expected));
  assert.equal(data % 32, 0);
  assert.equal(query.offset % 32, 0);
});

it('refuses another family', async t => {
  const folder = writeCheckpoint(t, { config: tinyConfigs.redllm });
  writeJson(folder, 'tokenizer.json', tokenizer);
  await assert.rejects(writeGguf(folder, join(folder, 'x.gguf')), /of type redllm, not llama/);
});

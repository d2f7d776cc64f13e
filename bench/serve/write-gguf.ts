/**
 * A Llama checkpoint in llama.cpp's format (GGUF), unquantised: so that another server can be asked for the very same model.
 * node dist/bench/serve/write-gguf.js CHECKPOINT_FOLDER OUT.gguf
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { storedTensors } from '../../src/models/checkpoint.ts';

interface Config {
  readonly model_type: string;
  readonly vocab_size: number;
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly max_position_embeddings: number;
  readonly rms_norm_eps: number;
  readonly rope_parameters?: { readonly rope_theta: number };
  readonly rope_theta?: number;
  readonly bos_token_id: number;
  readonly eos_token_id: number;
}

interface Tokenizer {
  readonly model: { readonly vocab: Readonly<Record<string, number>> };
  readonly added_tokens: readonly { readonly id: number; readonly content: string; readonly special: boolean }[];
}

/** Of tensors, as the format numbers types. */
const f32 = 0;
const alignment = 32;

/** Grows a file out of its values. */
class Bytes {
  readonly #pieces: Buffer[] = [];
  length = 0;

  add(piece: Buffer): this {
    this.#pieces.push(piece);
    this.length += piece.length;
    return this;
  }

  uint32(value: number): this {
    const piece = Buffer.alloc(4);
    piece.writeUInt32LE(value);
    return this.add(piece);
  }

  uint64(value: number): this {
    const piece = Buffer.alloc(8);
    piece.writeBigUInt64LE(BigInt(value));
    return this.add(piece);
  }

  float32(value: number): this {
    const piece = Buffer.alloc(4);
    piece.writeFloatLE(value);
    return this.add(piece);
  }

  string(text: string): this {
    const piece = Buffer.from(text);
    return this.uint64(piece.length).add(piece);
  }

  align(): this {
    return this.add(Buffer.alloc((alignment - (this.length % alignment)) % alignment));
  }

  all(): Buffer {
    return Buffer.concat(this.#pieces);
  }
}

/** Writes itself, its kind before it. */
type Value = (out: Bytes) => void;

const uint32 =
  (value: number): Value =>
  out =>
    out.uint32(4).uint32(value);
const float32 =
  (value: number): Value =>
  out =>
    out.uint32(6).float32(value);
const bool =
  (value: boolean): Value =>
  out =>
    out.uint32(7).add(Buffer.from([value ? 1 : 0]));
const string =
  (value: string): Value =>
  out =>
    out.uint32(8).string(value);
const strings =
  (values: readonly string[]): Value =>
  out => {
    out.uint32(9).uint32(8).uint64(values.length);
    for (const value of values) out.string(value);
  };
const int32s =
  (values: readonly number[]): Value =>
  out => {
    out.uint32(9).uint32(5).uint64(values.length);
    for (const value of values) out.uint32(value);
  };
const float32s =
  (values: readonly number[]): Value =>
  out => {
    out.uint32(9).uint32(6).uint64(values.length);
    for (const value of values) out.float32(value);
  };

/** Names of tensors here and there. */
const renamed: readonly (readonly [RegExp, string])[] = [
  [/^model\.embed_tokens\.weight$/, 'token_embd.weight'],
  [/^model\.norm\.weight$/, 'output_norm.weight'],
  [/^lm_head\.weight$/, 'output.weight'],
  [/^model\.layers\.(\d+)\.input_layernorm\.weight$/, 'blk.$1.attn_norm.weight'],
  [/^model\.layers\.(\d+)\.post_attention_layernorm\.weight$/, 'blk.$1.ffn_norm.weight'],
  [/^model\.layers\.(\d+)\.self_attn\.([qkv])_proj\.weight$/, 'blk.$1.attn_$2.weight'],
  [/^model\.layers\.(\d+)\.self_attn\.o_proj\.weight$/, 'blk.$1.attn_output.weight'],
  [/^model\.layers\.(\d+)\.mlp\.(gate|up|down)_proj\.weight$/, 'blk.$1.ffn_$2.weight'],
];

/** llama.cpp rotates neighbours, checkpoints the two halves of a head: rows of queries and keys change places. */
function interleave(rows: Buffer, heads: number, rowBytes: number): Buffer {
  const perHead = rows.length / rowBytes / heads;
  const moved = Buffer.alloc(rows.length);
  for (let head = 0; head < heads; head++)
    for (let row = 0; row < perHead; row++) {
      const to = head * perHead + (row < perHead / 2 ? 2 * row : 2 * (row - perHead / 2) + 1);
      const from = (head * perHead + row) * rowBytes;
      rows.copy(moved, to * rowBytes, from, from + rowBytes);
    }
  return moved;
}

function valuesOf(name: string, config: Config, tokenizer: Tokenizer): Record<string, Value> {
  const tokens = Object.entries(tokenizer.model.vocab).toSorted(([, a], [, b]) => a - b);
  const special = new Map(
    tokenizer.added_tokens.filter(token => token.special).map(({ id, content }) => [id, content]),
  );
  const typeOf = (text: string, id: number) =>
    special.has(id) ? (text === '<unk>' ? 2 : 3) : /^<0x[0-9A-F]{2}>$/.test(text) ? 6 : 1;
  return {
    'general.architecture': string('llama'),
    'general.name': string(name),
    'general.file_type': uint32(0),
    'llama.context_length': uint32(config.max_position_embeddings),
    'llama.embedding_length': uint32(config.hidden_size),
    'llama.block_count': uint32(config.num_hidden_layers),
    'llama.feed_forward_length': uint32(config.intermediate_size),
    'llama.attention.head_count': uint32(config.num_attention_heads),
    'llama.attention.head_count_kv': uint32(config.num_key_value_heads),
    'llama.attention.layer_norm_rms_epsilon': float32(config.rms_norm_eps),
    'llama.rope.dimension_count': uint32(config.hidden_size / config.num_attention_heads),
    'llama.rope.freq_base': float32(config.rope_parameters?.rope_theta ?? config.rope_theta ?? 10_000),
    'llama.vocab_size': uint32(config.vocab_size),
    'tokenizer.ggml.model': string('llama'),
    'tokenizer.ggml.tokens': strings(tokens.map(([text]) => text)),
    // Merges come in the order of their ids, and the earlier goes first.
    'tokenizer.ggml.scores': float32s(tokens.map(([, id]) => -id)),
    'tokenizer.ggml.token_type': int32s(tokens.map(([text, id]) => typeOf(text, id))),
    'tokenizer.ggml.bos_token_id': uint32(config.bos_token_id),
    'tokenizer.ggml.eos_token_id': uint32(config.eos_token_id),
    'tokenizer.ggml.unknown_token_id': uint32(0),
    'tokenizer.ggml.add_bos_token': bool(true),
    'tokenizer.ggml.add_space_prefix': bool(true),
  };
}

/** @throws Error for a checkpoint of another family, or with weights that are not float32 */
export async function writeGguf(folder: string, path: string): Promise<void> {
  const read = <T>(name: string) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as T;
  const config = read<Config>('config.json');
  if (config.model_type !== 'llama') throw new Error(`${folder} has a model of type ${config.model_type}, not llama.`);
  const values = Object.entries(valuesOf(basename(folder), config, read<Tokenizer>('tokenizer.json')));
  const tensors = [...(await storedTensors(folder))].map(([name, { type, shape, file, offset, bytes }]) => {
    const [pattern, to] = renamed.find(([known]) => known.test(name)) ?? [];
    if (pattern === undefined || type !== 'F32') throw new Error(`${name} (${type}) has no place in the file.`);
    const data = readFileSync(file).subarray(offset, offset + bytes);
    const heads = name.includes('q_proj') ? config.num_attention_heads : config.num_key_value_heads;
    const turned = /\.[qk]_proj\./.test(name) ? interleave(data, heads, 4 * shape[1]!) : data;
    return { name: name.replace(pattern, to!), shape, data: turned };
  });

  const out = new Bytes().add(Buffer.from('GGUF')).uint32(3).uint64(tensors.length).uint64(values.length);
  for (const [key, value] of values) value(out.string(key));
  const data = new Bytes();
  for (const tensor of tensors) {
    out.string(tensor.name).uint32(tensor.shape.length);
    for (const size of tensor.shape.toReversed()) out.uint64(size);
    out.uint32(f32).uint64(data.length);
    data.add(tensor.data).align();
  }
  writeFileSync(path, out.align().add(data.all()).all());
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [folder, path] = process.argv.slice(2);
  if (folder !== undefined && path !== undefined) await writeGguf(folder, path);
  else {
    console.error('usage: node dist/bench/serve/write-gguf.js CHECKPOINT_FOLDER OUT.gguf');
    process.exitCode = 1;
  }
}

/** A checkpoint directory in the Hugging Face layout: which files it has, its configs, and the tensors that its files hold. */
import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Config, readJsonObject } from './config.ts';
import { exists } from './files.ts';
import { invalid, listed, shown } from './invalid.ts';
import { readSafetensors, type StoredTensor } from './safetensors.ts';

/** Paths of the text side, where present. */
export interface TextFiles {
  readonly tokenizer?: string;
  /** Of the decoder, where source and target vocabularies differ. */
  readonly targetTokenizer?: string;
  readonly tokenizerConfig?: string;
  readonly chatTemplate?: string;
}

const textFileNames: Readonly<Record<keyof TextFiles, string>> = {
  tokenizer: 'tokenizer.json',
  targetTokenizer: 'target_tokenizer.json',
  tokenizerConfig: 'tokenizer_config.json',
  chatTemplate: 'chat_template.jinja',
};

const weightsName = 'model.safetensors';
const indexName = 'model.safetensors.index.json';
const mostIndexBytes = 100_000_000;

export interface Checkpoint {
  readonly directory: string;
  readonly config: Config;
  /** Absent where the directory has no generation_config.json. */
  readonly generation?: Config;
  readonly text: TextFiles;
}

/**
 * Reads the configs; the weights are left for `storedTensors`.
 * @throws RedllmError `invalid_checkpoint` where the directory or its config.json is missing or cannot be read
 */
export async function openCheckpoint(directory: string): Promise<Checkpoint> {
  const found = await stat(directory).catch(() => undefined);
  if (!found) throw invalid(`There is no checkpoint directory ${shown(directory)}.`);
  if (!found.isDirectory()) throw invalid(`The checkpoint ${shown(directory)} is a file, not a directory.`);
  if (!(await exists(join(directory, 'config.json')))) {
    throw invalid(`The checkpoint directory ${shown(directory)} has no config.json.`, 'config.json');
  }
  const config = await Config.read(join(directory, 'config.json'));
  const generationPath = join(directory, 'generation_config.json');
  const text: Partial<Record<keyof TextFiles, string>> = {};
  for (const [key, name] of Object.entries(textFileNames)) {
    const path = join(directory, name);
    if (await exists(path)) text[key as keyof TextFiles] = path;
  }
  return {
    directory,
    config,
    ...((await exists(generationPath)) ? { generation: await Config.read(generationPath) } : {}),
    text,
  };
}

/**
 * All tensors of model.safetensors, or of the shards that model.safetensors.index.json names. Reads headers alone.
 * @throws RedllmError `invalid_checkpoint` where there are no weights, a header is broken, or index and shards disagree
 */
export async function storedTensors(directory: string): Promise<ReadonlyMap<string, StoredTensor>> {
  if (await exists(join(directory, weightsName))) return readSafetensors(join(directory, weightsName));
  if (await exists(join(directory, indexName))) return readShards(directory);
  const others = (await readdir(directory)).filter(name => /\.(bin|pt|pth|gguf|h5|msgpack|safetensors)$/.test(name));
  const hint = others.length > 0 ? ` It has ${listed(others.sort())}, which cannot be used.` : '';
  throw invalid(
    `The checkpoint directory ${shown(directory)} has neither ${weightsName} nor ${indexName}.${hint}`,
    weightsName,
  );
}

async function readShards(directory: string): Promise<ReadonlyMap<string, StoredTensor>> {
  const index = await readJsonObject(join(directory, indexName), mostIndexBytes);
  const map = index.weight_map;
  if (map === null || typeof map !== 'object' || Array.isArray(map)) {
    throw invalid(`${indexName}: weight_map must be an object, not ${shown(map ?? null)}.`, 'weight_map');
  }
  const shardOf = new Map(Object.entries(map).map(([tensor, shard]) => [tensor, shardName(tensor, shard)]));
  if (shardOf.size === 0) throw invalid(`${indexName}: weight_map names no tensor.`, 'weight_map');

  const tensors = new Map<string, StoredTensor>();
  for (const shard of new Set(shardOf.values())) {
    const path = join(directory, shard);
    if (!(await exists(path))) throw invalid(`${indexName} names the shard ${shown(shard)}, which is missing.`, shard);
    for (const [name, tensor] of await readSafetensors(path)) {
      if (shardOf.get(name) !== shard) {
        throw invalid(`${shard} holds tensor ${shown(name)}, which ${indexName} does not place there.`, name);
      }
      tensors.set(name, tensor);
    }
  }
  for (const [name, shard] of shardOf) {
    if (!tensors.has(name))
      throw invalid(`${indexName} places tensor ${shown(name)} in ${shard}, which lacks it.`, name);
  }
  return tensors;
}

/** A shard is a file of the same directory: an index must not lead the reader anywhere else. */
function shardName(tensor: string, shard: unknown): string {
  const plain =
    typeof shard === 'string' && shard === basename(shard) && !/[\\/:\0]/.test(shard) && shard.endsWith('.safetensors');
  if (plain) return shard;
  throw invalid(
    `${indexName}: weight_map[${shown(tensor)}] must name a .safetensors file beside it, not ${shown(shard)}.`,
    tensor,
  );
}

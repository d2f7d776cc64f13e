/** From --model arguments to models that run: what each is, its compute type and limits, and its weights in an engine. */
import { basename, join, resolve } from 'node:path';
import type { Config } from '../config.ts';
import type { DeviceOptions } from '../device.ts';
import { Engine, type LoadedModel } from '../engine/engine.ts';
import { RedllmError } from '../errors.ts';
import { Generator } from '../generate.ts';
import { describeCheckpoint, describeRandom, type ModelDescription } from '../models/registry.ts';
import { paperConfig } from '../models/sizes.ts';
import type { ComputeType } from '../models/spec.ts';
import { parameterCount } from '../models/spec-weights.ts';
import { packageRoot } from '../package-root.ts';
import { type ModelText, openText, type ServedModel } from '../served-model.ts';

/** Limit of a model whose checkpoint names none. */
const DEFAULT_LENGTH = 4096;
const RANDOM = 'random:';
/** Every run of a random model has the same weights. */
const RANDOM_SEED = 1;

/** Directories of the models that come with the package, for who names none: words to phonemes, by each architecture. */
export const bundledModels: string[] = ['redllm-g2p', 'decllm-g2p', 'decllm-biattn-g2p'].map(name =>
  join(packageRoot, 'models', name),
);

/** Settings with models: those that were named, else `others`. */
export function withDefaultModels(config: Config, others = bundledModels): Config {
  return config.model.length === 0 ? { ...config, model: others } : config;
}

const noText: ModelText = { tokenizer: null, targetTokenizer: null, template: null };

export interface ModelArgument {
  readonly name: string;
  /** A checkpoint directory; absent for a random model. */
  readonly directory?: string;
  /** The paper's size to draw at random, e.g. `redllm-150m`. */
  readonly random?: string;
}

/** `DIR`, `NAME=DIR`, `random:SIZE` or `NAME=random:SIZE`. */
export function parseModelArgument(argument: string): ModelArgument {
  const [, given, place = ''] = /^(?:([^=/\\]+)=)?(.*)$/s.exec(argument) ?? [];
  if (place === '')
    throw new RedllmError('invalid_config', `--model needs a directory, not '${argument}'.`, { param: 'model' });
  if (place.startsWith(RANDOM)) {
    const random = place.slice(RANDOM.length);
    return { name: given ?? random, random };
  }
  return { name: given ?? basename(resolve(place)), directory: place };
}

export interface DescribedModel extends ModelArgument {
  readonly description: ModelDescription;
  readonly compute: ComputeType;
  readonly maxSource: number;
  readonly maxTarget: number;
}

/** @throws RedllmError about the checkpoint, or where the engine would have two models of one name */
export async function describeModels(
  config: Pick<Config, 'model' | 'dtype' | 'maxModelLen'>,
): Promise<DescribedModel[]> {
  const models = config.model.map(parseModelArgument);
  const names = models.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined)
    throw new RedllmError(
      'invalid_config',
      `Two models are named '${twice}'; give one another name: --model NAME=DIR.`,
      {
        param: 'model',
      },
    );
  return Promise.all(models.map(model => describeModel(model, config)));
}

async function describeModel(
  model: ModelArgument,
  { dtype, maxModelLen }: Pick<Config, 'dtype' | 'maxModelLen'>,
): Promise<DescribedModel> {
  const description =
    model.random === undefined
      ? await describeCheckpoint(model.directory!)
      : describeRandom(paperConfig(model.random), RANDOM_SEED);
  const limit = (own: number | undefined) =>
    Math.min(own ?? maxModelLen ?? DEFAULT_LENGTH, maxModelLen ?? Number.POSITIVE_INFINITY);
  return {
    ...model,
    description,
    compute: dtype === 'auto' ? storedType(description) : dtype,
    maxSource: limit(description.spec.maxSource),
    maxTarget: limit(description.spec.maxTarget),
  };
}

/** bfloat16 where that is what the checkpoint holds: other types have bits that it would lose. */
function storedType({ weights }: ModelDescription): ComputeType {
  if (weights.kind === 'random') return 'float32';
  return Object.values(weights.tensors).every(({ type }) => type === 'BF16') ? 'bfloat16' : 'float32';
}

export interface Running {
  readonly engine: Engine;
  readonly generator: Generator;
  /** Ends the tokenisers' threads, then the engine's. */
  close(): Promise<void>;
}

/**
 * Starts an engine with these models.
 * @param say called with lines for people: what is loaded, and how far it is
 * @throws RedllmError about the addon, a checkpoint, or memory
 */
export async function startModels(
  config: Config,
  models: readonly DescribedModel[],
  say: (line: string) => void,
): Promise<Running> {
  const { maxBatchTokens, maxRows, maxQueue, maxQueueTokens } = config;
  // Text first: what is wrong with it shows before anything takes long.
  const texts = models.map(({ directory }) =>
    directory === undefined ? noText : openText(directory, textOptions(config)),
  );
  const kvMemory = config.kvMemory ?? null;
  const engine = await Engine.start({
    ...deviceOptions(config),
    maxBatchTokens,
    maxRows,
    kvMemory,
    maxQueue,
    maxQueueTokens,
  });
  try {
    say(`computing on ${deviceText(engine)}${engine.notice === null ? '' : `; ${engine.notice}`}`);
    // All at once: memory of a device is shared out among those that are still to come.
    const served = await Promise.all(
      models.map(async (model, index): Promise<ServedModel> => {
        const { maxSource, maxTarget } = await load(engine, model, say);
        const { name } = model;
        const { spec, defaults } = model.description;
        const created = Math.floor(Date.now() / 1000);
        return { name, dir: model.directory ?? '', spec, defaults, maxSource, maxTarget, created, ...texts[index]! };
      }),
    );
    const generator = new Generator(engine, served);
    const close = async () => {
      await generator.close();
      await engine.close();
    };
    return { engine, generator, close };
  } catch (error) {
    await engine.close();
    throw error;
  }
}

/** The settings that say where to compute, as openRuntime() takes them. */
export function deviceOptions({
  device,
  cudaLibrary,
  isa,
  threads,
}: Pick<Config, 'device' | 'cudaLibrary' | 'isa' | 'threads'>): DeviceOptions {
  return { device, cudaLibrary: cudaLibrary === undefined ? null : resolve(cudaLibrary), isa, threads };
}

/** `cpu avx512, 2 threads` */
export function deviceText({ device, threads }: { readonly device: string; readonly threads: number }): string {
  return threads === 0 ? device : `${device}, ${threads} threads`;
}

const textOptions = ({ chatTemplate }: Config) => (chatTemplate === undefined ? {} : { chatTemplate });

async function load(engine: Engine, model: DescribedModel, say: (line: string) => void): Promise<LoadedModel> {
  const { name, compute, maxSource, maxTarget } = model;
  const { spec, defaults, weights } = model.description;
  const start = performance.now();
  let said = start;
  const loaded = await engine.load({ name, spec, compute, weights, defaults, maxSource, maxTarget }, (done, total) => {
    if (performance.now() - said < 1000 || done === total) return;
    said = performance.now();
    say(`loading ${name}: ${Math.floor((100 * done) / total)} % of ${formatBytes(total)}`);
  });
  const { footprint, pages } = loaded;
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  const parameters = `${(parameterCount(spec) / 1e6).toFixed(1)} M parameters`;
  const size = `${formatBytes(footprint.weightBytes)} of ${compute}`;
  say(`loaded ${name} (${spec.family}): ${parameters}, ${size}, ${pages} pages of K/V, in ${seconds} s`);
  if (loaded.maxSource < (spec.encoder ? maxSource : 0) || loaded.maxTarget < maxTarget) {
    const source = spec.encoder ? `${loaded.maxSource} source and ` : '';
    say(
      `kv-memory holds no more than ${source}${loaded.maxTarget} decoder tokens of ${name}: longer requests are refused`,
    );
  }
  return loaded;
}

/** 1234567 -> `1.2 MiB`. */
export function formatBytes(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  const unit = bytes < 1024 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1);
  return `${(bytes / 1024 ** unit).toFixed(unit === 0 ? 0 : 1)} ${units[unit]}`;
}

/** From a checkpoint, or a config alone, to all that serving needs to know of a model. */
import { bart } from './bart.ts';
import { openCheckpoint, storedTensors, type TextFiles } from './checkpoint.ts';
import { Config, type JsonObject } from './config.ts';
import { decllm } from './decllm.ts';
import { withGenerationConfig } from './defaults.ts';
import type { Family } from './family.ts';
import { shown, unsupported } from './invalid.ts';
import { llama } from './llama.ts';
import { redllm } from './redllm.ts';
import type { GenerationDefaults, ModelSpec } from './spec.ts';
import { t5 } from './t5.ts';
import { unservedParts } from './unserved.ts';
import { locateWeights, type WeightSource } from './weights.ts';

const families: ReadonlyMap<string, Family> = new Map(
  [redllm, decllm, t5, bart, llama].flatMap(family => family.modelTypes.map(type => [type, family] as const)),
);

export interface ModelDescription {
  /** Absent where the model comes from a config alone. */
  readonly directory?: string;
  readonly spec: ModelSpec;
  readonly defaults: GenerationDefaults;
  readonly weights: WeightSource;
  readonly text: TextFiles;
}

/** @throws RedllmError `unsupported_model`, listing what is served */
export function familyOf(modelType: string): Family {
  const family = families.get(modelType);
  if (family) return family;
  const served = [...families.keys()].sort().join(', ');
  throw unsupported(`config.json: model_type ${shown(modelType)} is not served; served are ${served}.`, 'model_type');
}

/**
 * Reads a checkpoint directory and checks everything that can be checked without running it: configs, names, shapes and types of
 * tensors. Weights themselves are not read, except for copies that must be equal.
 * @param random a seed: weights are drawn from it, and those of the checkpoint are neither needed nor looked at
 * @throws RedllmError `invalid_checkpoint` or `unsupported_model`
 */
export async function describeCheckpoint(
  directory: string,
  { random }: { random?: number } = {},
): Promise<ModelDescription> {
  const { config, generation, text } = await openCheckpoint(directory);
  const family = servedFamily(config);
  const tensors = random === undefined ? await storedTensors(directory) : undefined;
  const spec = servedSpec(family, config, new Set(tensors?.keys()));
  const weights: WeightSource = tensors
    ? await locateWeights(spec, tensors, family.surplus)
    : { kind: 'random', seed: random! };
  return { directory, spec, defaults: defaultsOf(family, spec, config, generation), weights, text };
}

/** A model of random weights from the object that a config.json would hold (`sizes.ts` has some). */
export function describeRandom(config: JsonObject, seed: number): ModelDescription {
  const reader = new Config(config);
  const family = servedFamily(reader);
  const spec = servedSpec(family, reader, new Set());
  return { spec, defaults: defaultsOf(family, spec, reader), weights: { kind: 'random', seed }, text: {} };
}

function servedFamily(config: Config): Family {
  const family = familyOf(config.string('model_type'));
  if (config.has('quantization_config')) {
    throw unsupported(
      'config.json: quantized checkpoints (quantization_config) are not served.',
      'quantization_config',
    );
  }
  return family;
}

function servedSpec(family: Family, config: Config, tensors: ReadonlySet<string>): ModelSpec {
  const spec = family.spec(config, tensors);
  const missing = unservedParts(spec);
  if (missing.length > 0) {
    throw unsupported(`This checkpoint needs ${missing.join(' and ')}, which this version does not serve.`);
  }
  return spec;
}

function defaultsOf(family: Family, spec: ModelSpec, config: Config, generation?: Config): GenerationDefaults {
  const own = family.defaults(config);
  const defaults = generation ? withGenerationConfig(own, generation, spec.vocabulary.target) : own;
  if (spec.encoder && defaults.startToken === undefined) throw config.wrong('decoder_start_token_id', 'a token id');
  return defaults;
}

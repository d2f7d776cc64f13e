/** The pieces that several families are made of. Sizes are numbers of elements; matrices are [out, in] as stored. */
import type { Config } from './config.ts';
import { shown, unsupported } from './invalid.ts';
import type { Activation, FeedForwardSpec, LinearSpec, NormSpec, RopeSpec, WeightRef } from './spec.ts';

/**
 * Bounds that no served checkpoint comes near. They keep a broken config from making a spec that takes minutes to write
 * down, or sizes whose products overflow native code's counts.
 */
export const bounds = {
  layers: 1024,
  heads: 4096,
  headDim: 4096,
  width: 2 ** 18,
  vocabulary: 2 ** 19,
  length: 2 ** 24,
} as const;

export function weight(name: string, ...shape: number[]): WeightRef {
  return { name, shape };
}

/** `name`.weight [out, in] and, where asked, `name`.bias [out]. */
export function linear(name: string, out: number, input: number, bias = false): LinearSpec {
  const matrix = weight(`${name}.weight`, out, input);
  return bias ? { weight: matrix, bias: weight(`${name}.bias`, out) } : { weight: matrix };
}

/** RMSNorm with the gain `name`.weight [width] as stored. */
export function rmsNorm(name: string, width: number, eps: number): NormSpec {
  return { kind: 'rms', eps, gain: weight(`${name}.weight`, width), gainOffset: 0 };
}

/** RMSNorm that has no parameters. */
export function plainRmsNorm(eps: number): NormSpec {
  return { kind: 'rms', eps, gainOffset: 0 };
}

/** LayerNorm with `name`.weight and `name`.bias [width]. */
export function layerNorm(name: string, width: number, eps: number): NormSpec {
  return {
    kind: 'layer',
    eps,
    gain: weight(`${name}.weight`, width),
    gainOffset: 0,
    bias: weight(`${name}.bias`, width),
  };
}

/** down(act(gate x) * up x) under the names gate_proj, up_proj and down_proj. */
export function gatedFeedForward(
  prefix: string,
  width: number,
  inner: number,
  activation: Activation,
  bias = false,
): FeedForwardSpec {
  return {
    activation,
    gate: linear(`${prefix}gate_proj`, inner, width, bias),
    up: linear(`${prefix}up_proj`, inner, width, bias),
    down: linear(`${prefix}down_proj`, width, inner, bias),
  };
}

/** transformers' names of activations: "gelu" is the erf form; the three tanh forms are one function. */
const activations: ReadonlyMap<string, Activation> = new Map([
  ['relu', 'relu'],
  ['gelu', 'gelu'],
  ['gelu_python', 'gelu'],
  ['gelu_new', 'gelu_tanh'],
  ['gelu_fast', 'gelu_tanh'],
  ['gelu_pytorch_tanh', 'gelu_tanh'],
  ['silu', 'silu'],
  ['swish', 'silu'],
]);

/** @throws RedllmError `unsupported_model`, naming `field`, where the activation is none of ours */
export function activationNamed(name: string, field: string): Activation {
  const found = activations.get(name);
  if (found) return found;
  const served = [...activations.keys()].join(', ');
  throw unsupported(`config.json: ${field} ${shown(name)} is not served; served are ${served}.`, field);
}

/**
 * The rotation of a family that rotates queries and keys alike. Both spellings occur: `rope_parameters` (transformers 5),
 * and `rope_theta` with `rope_scaling` beside it, whose type is under `rope_type` or `type`.
 * @throws RedllmError `unsupported_model` for a rope_type other than default and linear
 */
export function ropeOf(config: Config, headDim: number): RopeSpec {
  const field = config.has('rope_parameters') ? 'rope_parameters' : 'rope_scaling';
  const scaling = config.object(field);
  const typeField = scaling?.has('rope_type') ? 'rope_type' : 'type';
  const type = scaling?.string(typeField, 'default') ?? 'default';
  if (type !== 'default' && type !== 'linear') {
    throw unsupported(
      `config.json: rope_type ${shown(type)} is not served; served are default, linear.`,
      `${field}.${typeField}`,
    );
  }
  const partial = scaling?.has('partial_rotary_factor') ? scaling : config;
  if (partial.number('partial_rotary_factor', { above: 0, most: 1, or: 1 }) !== 1) {
    throw unsupported(
      'config.json: a partial_rotary_factor other than 1 is not served in this family.',
      'partial_rotary_factor',
    );
  }
  const from = scaling?.has('rope_theta') ? scaling : config;
  return {
    theta: from.number('rope_theta', { above: 0, or: 10_000 }),
    dimensions: headDim,
    factor: type === 'linear' && scaling ? scaling.number('factor', { above: 0 }) : 1,
    rotatesQuery: true,
    rotatesKey: true,
  };
}

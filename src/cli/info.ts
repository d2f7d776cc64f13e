/** `redllm info`: what a checkpoint is and what it takes, without loading it; and what there is to compute on. */
import { parseFlags, readConfig, type Setting, settingFlags } from '../config.ts';
import { openRuntime } from '../device.ts';
import { parameterCount } from '../models/spec-weights.ts';
import { loadAddon, type ModelFootprint } from '../native.ts';
import { type DescribedModel, describeModels, deviceOptions, deviceText, formatBytes } from './models.ts';

const infoSettings: readonly Setting[] = ['model', 'dtype', 'device', 'cudaLibrary', 'isa', 'threads', 'maxModelLen'];

export const infoHelp = { settings: infoSettings, flags: { json: ['', 'print JSON'] } } as const;

/** @throws RedllmError */
export async function info(args: readonly string[]): Promise<void> {
  const values = parseFlags(args, { ...settingFlags(infoSettings), json: { type: 'boolean' } });
  const config = readConfig(values, process.env);
  const models = await describeModels(config);
  const addon = loadAddon();
  const options = deviceOptions(config);
  const { runtime, notice } = openRuntime(addon, options);
  try {
    const available = addon.devices(options.cudaLibrary ?? undefined);
    const device = { name: runtime.device, threads: runtime.threads, notice, available };
    const described = models.map(model => describe(model, runtime.footprint(model.description.spec, model.compute)));
    if (values.json === true) process.stdout.write(`${JSON.stringify({ models: described, device }, null, 2)}\n`);
    else process.stdout.write(`${[...described.map(asText), devicesText(device)].join('\n\n')}\n`);
  } finally {
    runtime.free();
  }
}

type Described = ReturnType<typeof describe>;

function describe(model: DescribedModel, footprint: ModelFootprint) {
  const { spec, text, weights } = model.description;
  const { encoder, decoder } = spec;
  const perToken = (kind: 'self' | 'cross') =>
    (footprint.groups.filter(group => group.kind === kind).length * footprint.pageBytes) / footprint.pageTokens;
  return {
    name: model.name,
    family: spec.family,
    architecture: encoder ? 'encoder-decoder' : 'decoder-only',
    mask: spec.mask,
    layers: { encoder: encoder?.layers.length ?? 0, decoder: decoder.layers.length },
    width: decoder.width,
    vocabulary: spec.vocabulary,
    parameters: parameterCount(spec),
    weights: weights.kind,
    dtype: model.compute,
    weightBytes: footprint.weightBytes,
    kvBytesPerToken: { self: perToken('self'), cross: perToken('cross') },
    limits: { source: encoder ? model.maxSource : null, target: model.maxTarget },
    text: { tokenizer: text.tokenizer !== undefined, targetTokenizer: text.targetTokenizer !== undefined },
  };
}

function asText(model: Described): string {
  const { layers, vocabulary, limits, kvBytesPerToken, text } = model;
  const both = limits.source !== null;
  const rows: [string, string][] = [
    ['model', model.name],
    ['architecture', `${model.family}, ${model.architecture}${both || model.mask === 'causal' ? '' : ', prefix-LM'}`],
    ['layers', both ? `${layers.encoder} encoder, ${layers.decoder} decoder` : `${layers.decoder}`],
    ['width', `${model.width}`],
    [
      'vocabulary',
      both && vocabulary.source !== vocabulary.target
        ? `${vocabulary.source} source, ${vocabulary.target} target`
        : `${vocabulary.target}`,
    ],
    ['parameters', `${model.parameters}`],
    [
      'weights',
      `${formatBytes(model.weightBytes)} as ${model.dtype}${model.weights === 'random' ? ', drawn at random' : ''}`,
    ],
    [
      'K/V of a token',
      `${formatBytes(kvBytesPerToken.self)} decoder${both ? `, ${formatBytes(kvBytesPerToken.cross)} source` : ''}`,
    ],
    ['limits', both ? `${limits.source} source, ${limits.target} target tokens` : `${limits.target} tokens`],
    ['tokenizer', !text.tokenizer ? 'none: token ids alone' : text.targetTokenizer ? 'source and target' : 'yes'],
  ];
  return table(rows);
}

function devicesText({
  name,
  threads,
  notice,
  available,
}: {
  name: string;
  threads: number;
  notice: string | null;
  available: readonly { name: string; available: boolean; detail: string }[];
}): string {
  return table([
    ['device', `${deviceText({ device: name, threads })}${notice === null ? '' : `; ${notice}`}`],
    ...available.map((device): [string, string] => [
      `  ${device.name}`,
      `${device.available ? 'yes' : 'no'}: ${device.detail}`,
    ]),
  ]);
}

function table(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([label]) => label.length)) + 2;
  return rows.map(([label, value]) => label.padEnd(width) + value).join('\n');
}

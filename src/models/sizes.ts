/** The five sizes of the paper (arXiv 2510.26622, table 1) as configs, for benchmarks with random weights. */
import { RedllmError } from '../errors.ts';
import type { JsonObject } from './config.ts';
import { shown } from './invalid.ts';

/** [name, hidden_size, DecLLM layers, RedLLM layers a stack]. Heads have 128 dimensions, feed-forward blocks 4 hidden_size. */
const sizes = [
  ['150m', 1024, 8, 3],
  ['1b', 2048, 16, 7],
  ['2b', 2560, 20, 9],
  ['4b', 3072, 24, 10],
  ['8b', 4096, 32, 14],
] as const;

const headDim = 128;

/** Under `redllm-150m`, `decllm-150m`, `decllm-biattn-150m`, `redllm-1b`, ...: what a config.json of that size would hold. */
export const paperConfigs: ReadonlyMap<string, JsonObject> = new Map(
  sizes.flatMap(([name, width, decllmLayers, redllmLayers]): [string, JsonObject][] => {
    const common = {
      vocab_size: 32_768,
      hidden_size: width,
      intermediate_size: 4 * width,
      num_attention_heads: width / headDim,
      head_dim: headDim,
      bos_token_id: 1,
      eos_token_id: 2,
      pad_token_id: 0,
    };
    return [
      [
        `redllm-${name}`,
        { model_type: 'redllm', ...common, num_encoder_layers: redllmLayers, num_decoder_layers: redllmLayers },
      ],
      [`decllm-${name}`, { model_type: 'decllm', ...common, num_hidden_layers: decllmLayers }],
      [
        `decllm-biattn-${name}`,
        { model_type: 'decllm', ...common, num_hidden_layers: decllmLayers, prefix_attention: 'bidirectional' },
      ],
    ];
  }),
);

/** @throws RedllmError `invalid_config`, listing the names there are */
export function paperConfig(name: string): JsonObject {
  const config = paperConfigs.get(name);
  if (config) return config;
  throw new RedllmError(
    'invalid_config',
    `There is no random model ${shown(name)}; there are ${[...paperConfigs.keys()].join(', ')}.`,
    { param: 'model' },
  );
}

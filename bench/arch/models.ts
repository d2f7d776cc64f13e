/** What is measured beside what: the architectures at each size of table 1, and pairs whose decode steps cost about the same. */
import type { JsonObject } from '../../src/models/config.ts';
import { paperConfig } from '../../src/models/sizes.ts';

export interface Candidate {
  /** `redllm-150m`, say: what cells call it. */
  readonly name: string;
  readonly config: JsonObject;
}

/** Models that take turns. */
export interface Match {
  /** The label of their cells: of equal parameters, the size; of equal cost, the DecLLM's. */
  readonly size: string;
  readonly candidates: readonly Candidate[];
}

export const architectures = ['redllm', 'decllm', 'decllm-biattn'] as const;
export type Architecture = (typeof architectures)[number];

/** For tests: every part of the harness on it takes milliseconds. */
const tiny: JsonObject = {
  vocab_size: 512,
  hidden_size: 64,
  intermediate_size: 256,
  num_attention_heads: 2,
  head_dim: 32,
  bos_token_id: 1,
  eos_token_id: 2,
  pad_token_id: 0,
};
const tinyConfigs: Readonly<Record<string, JsonObject>> = {
  'redllm-tiny': { model_type: 'redllm', ...tiny, num_encoder_layers: 1, num_decoder_layers: 1 },
  'decllm-tiny': { model_type: 'decllm', ...tiny, num_hidden_layers: 3 },
  'decllm-biattn-tiny': {
    model_type: 'decllm',
    ...tiny,
    num_hidden_layers: 3,
    prefix_attention: 'bidirectional',
  },
};

/** @throws RedllmError `invalid_config` where there is no such size */
function candidate(name: string): Candidate {
  return { name, config: tinyConfigs[name] ?? paperConfig(name) };
}

/** @throws RedllmError `invalid_config` where there is no such size */
export function equalParameters(size: string, which: readonly Architecture[]): Match {
  return { size, candidates: which.map(architecture => candidate(`${architecture}-${size}`)) };
}

/** The RedLLM whose decode step reads about as many weights as that of the DecLLM of a size, as far as table 1 has one. */
const likeDecode: Readonly<Record<string, string>> = { '1b': '2b', '2b': '4b', '4b': '8b' };
/** Where it has none: one of as many layers a stack as it takes, of the same width. */
const stretched: Readonly<Record<string, number>> = { tiny: 3, '150m': 7 };

/** Null where table 1 has no RedLLM so large. */
export function equalCost(size: string, which: readonly Architecture[]): Match | null {
  const layers = stretched[size];
  const other = likeDecode[size];
  if ((layers === undefined && other === undefined) || !which.includes('redllm') || !which.includes('decllm'))
    return null;
  const redllm =
    layers === undefined
      ? candidate(`redllm-${other}`)
      : {
          name: `redllm-${size}-${layers}+${layers}`,
          config: {
            ...candidate(`redllm-${size}`).config,
            num_encoder_layers: layers,
            num_decoder_layers: layers,
          },
        };
  return { size, candidates: [redllm, candidate(`decllm-${size}`)] };
}

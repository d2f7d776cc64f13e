/** BART (arXiv 1910.13461): post-norm LayerNorm, biases everywhere, learned positions, a norm of the embedded input. */
import type { Config } from './config.ts';
import { specialTokens } from './defaults.ts';
import type { Family } from './family.ts';
import { unsupported } from './invalid.ts';
import { activationNamed, bounds, layerNorm, linear, weight } from './parts.ts';
import type { AttentionSpec, LayerSpec, Residual, StackSpec, WeightRef } from './spec.ts';

/** torch's own default, which BART's code never changes. */
const eps = 1e-5;

/** The position table begins with two rows that stood for padding in fairseq. */
const skippedPositions = 2;

/** Switches that old configs carry; BART's code in transformers runs these values alone. */
const fixedSwitches = {
  normalize_before: false,
  add_final_layer_norm: false,
  static_position_embeddings: false,
  normalize_embedding: true,
} as const;

interface BartStack {
  readonly name: 'encoder' | 'decoder';
  readonly width: number;
  readonly embedding: WeightRef;
  readonly positions: number;
  /** `model.`, or empty where the bare model was saved. */
  readonly prefix: string;
}

function attention(prefix: string, width: number, heads: number): AttentionSpec {
  const headDim = width / heads;
  const part = (name: string) => linear(`${prefix}${name}`, width, width, true);
  return {
    heads,
    kvHeads: heads,
    headDim,
    scale: headDim ** -0.5,
    query: part('q_proj'),
    key: part('k_proj'),
    value: part('v_proj'),
    output: part('out_proj'),
  };
}

function stackOf(config: Config, { name, width, embedding, positions, prefix }: BartStack): StackSpec {
  const headsField = `${name}_attention_heads`;
  const heads = config.integer(headsField, { most: bounds.heads });
  if (width % heads !== 0) throw config.wrong(headsField, `a divisor of d_model = ${width}`);
  if (width / heads > bounds.headDim) throw config.wrong(headsField, `at least d_model / ${bounds.headDim}`);
  const inner = config.integer(`${name}_ffn_dim`, { most: bounds.width });
  const activation = activationNamed(config.string('activation_function', 'gelu'), 'activation_function');
  const layers = Array.from(
    { length: config.integer(`${name}_layers`, { most: bounds.layers }) },
    (_, i): LayerSpec => {
      const at = `${prefix}${name}.layers.${i}.`;
      const norm = (norm: string) => layerNorm(`${at}${norm}`, width, eps);
      const self: Residual<AttentionSpec> = {
        after: norm('self_attn_layer_norm'),
        block: attention(`${at}self_attn.`, width, heads),
      };
      const feedForward = {
        after: norm('final_layer_norm'),
        block: {
          activation,
          up: linear(`${at}fc1`, inner, width, true),
          down: linear(`${at}fc2`, width, inner, true),
        },
      };
      if (name === 'encoder') return { self, feedForward };
      const cross = {
        after: norm('encoder_attn_layer_norm'),
        block: attention(`${at}encoder_attn.`, width, heads),
      };
      return { self, cross, feedForward };
    },
  );
  return {
    width,
    embedding,
    embeddingScale: config.boolean('scale_embedding', false) ? Math.sqrt(width) : 1,
    positions: {
      kind: 'learned',
      table: {
        ...weight(`${prefix}${name}.embed_positions.weight`, positions + skippedPositions, width),
        skip: skippedPositions,
      },
    },
    embeddingNorm: layerNorm(`${prefix}${name}.layernorm_embedding`, width, eps),
    layers,
  };
}

export const bart: Family = {
  modelTypes: ['bart'],
  spec(config, tensors) {
    for (const [field, value] of Object.entries(fixedSwitches)) {
      if (config.boolean(field, value) !== value) {
        throw unsupported(`config.json: ${field} = ${!value} is not served in this family.`, field);
      }
    }
    const vocabulary = config.integer('vocab_size', { most: bounds.vocabulary });
    const width = config.integer('d_model', { most: bounds.width });
    const positions = config.integer('max_position_embeddings', { most: bounds.length });
    const prefix = tensors.has('shared.weight') ? '' : 'model.';
    const embedding = weight(`${prefix}shared.weight`, vocabulary, width);
    const tied = config.boolean('tie_word_embeddings', true);
    // A buffer of zeros in transformers, so that a file may leave it out.
    const biased = tensors.size === 0 || tensors.has('final_logits_bias');
    return {
      family: 'bart',
      encoder: stackOf(config, { name: 'encoder', width, embedding, positions, prefix }),
      decoder: stackOf(config, { name: 'decoder', width, embedding, positions, prefix }),
      head: {
        weight: tied ? embedding : weight('lm_head.weight', vocabulary, width),
        ...(biased ? { bias: weight('final_logits_bias', 1, vocabulary) } : {}),
        scale: 1,
      },
      mask: 'causal',
      decoderPositions: 'zero',
      vocabulary: { source: vocabulary, target: vocabulary },
      maxSource: positions,
      maxTarget: positions,
    };
  },
  defaults(config) {
    const vocabulary = config.integer('vocab_size', { most: bounds.vocabulary });
    return specialTokens(config, vocabulary, {
      decoder_start_token_id: 2,
      eos_token_id: 2,
      pad_token_id: 1,
      forced_eos_token_id: 2,
    });
  },
  surplus: ['', 'model.'].map(prefix => ({
    pattern: /^(lm_head|(model\.)?(encoder|decoder)\.embed_tokens)\.weight$/,
    sameAs: `${prefix}shared.weight`,
  })),
};

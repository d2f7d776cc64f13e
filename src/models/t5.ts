/**
 * T5 (arXiv 1910.10683), T5 v1.1, Flan-T5, mT5, UL2, ByT5 and MADLAD-400: pre-norm RMSNorm, bucketed relative positions from
 * one table a stack, unscaled dot products. What differs: the feed-forward block, the head, and where the embedding is stored.
 */
import type { Config } from './config.ts';
import { specialTokens } from './defaults.ts';
import type { Family } from './family.ts';
import { activationNamed, bounds, linear, rmsNorm, weight } from './parts.ts';
import type {
  AttentionSpec,
  FeedForwardSpec,
  LayerSpec,
  RelativeBiasSpec,
  Residual,
  StackSpec,
  WeightRef,
} from './spec.ts';

interface T5Config {
  readonly width: number;
  readonly inner: number;
  readonly heads: number;
  readonly headDim: number;
  readonly eps: number;
  readonly buckets: number;
  readonly maxDistance: number;
  readonly embedding: WeightRef;
  readonly feedForward: (prefix: string) => FeedForwardSpec;
}

/** Where the shared embedding may be stored, the first one present: most files say shared, MADLAD's keep the decoder's name. */
const embeddingNames = ['shared.weight', 'decoder.embed_tokens.weight', 'encoder.embed_tokens.weight'] as const;

function readT5(config: Config, tensors: ReadonlySet<string>): T5Config {
  const width = config.integer('d_model', { most: bounds.width });
  const inner = config.integer('d_ff', { most: bounds.width });
  const buckets = config.integer('relative_attention_num_buckets', { least: 4, most: 65_536, or: 32 });
  // Half of the buckets for each direction, and half of those for exact distances.
  if (buckets % 4 !== 0) throw config.wrong('relative_attention_num_buckets', 'a multiple of 4');
  const embedding = embeddingNames.find(name => tensors.has(name)) ?? embeddingNames[0];
  return {
    width,
    inner,
    heads: config.integer('num_heads', { most: bounds.heads }),
    headDim: config.integer('d_kv', { most: bounds.headDim }),
    eps: config.number('layer_norm_epsilon', { above: 0, or: 1e-6 }),
    buckets,
    // The logarithmic buckets begin at distance buckets / 2 in the decoder, which must lie below the greatest one.
    maxDistance: config.integer('relative_attention_max_distance', { least: buckets / 2 + 1, most: 2 ** 14, or: 128 }),
    embedding: weight(embedding, config.integer('vocab_size', { most: bounds.vocabulary }), width),
    feedForward: feedForwardOf(config, width, inner),
  };
}

/** `feed_forward_proj` says the activation and whether it is gated; "gated-gelu" has always meant the tanh form. */
function feedForwardOf(config: Config, width: number, inner: number): (prefix: string) => FeedForwardSpec {
  const name = config.string('feed_forward_proj', 'relu');
  const gated = name.startsWith('gated-');
  const bare = gated ? name.slice('gated-'.length) : name;
  const activation = config.has('dense_act_fn')
    ? activationNamed(config.string('dense_act_fn'), 'dense_act_fn')
    : activationNamed(name === 'gated-gelu' ? 'gelu_new' : bare, 'feed_forward_proj');
  return prefix => ({
    activation,
    ...(gated ? { gate: linear(`${prefix}wi_0`, inner, width) } : {}),
    up: linear(gated ? `${prefix}wi_1` : `${prefix}wi`, inner, width),
    down: linear(`${prefix}wo`, width, inner),
  });
}

function attention(c: T5Config, prefix: string, relativeBias?: RelativeBiasSpec): AttentionSpec {
  const all = c.heads * c.headDim;
  return {
    heads: c.heads,
    kvHeads: c.heads,
    headDim: c.headDim,
    scale: 1,
    query: linear(`${prefix}q`, all, c.width),
    key: linear(`${prefix}k`, all, c.width),
    value: linear(`${prefix}v`, all, c.width),
    output: linear(`${prefix}o`, c.width, all),
    ...(relativeBias ? { relativeBias } : {}),
  };
}

function stackOf(c: T5Config, name: 'encoder' | 'decoder', count: number): StackSpec {
  // Block 0 owns the table; every block of the stack adds it.
  const relativeBias: RelativeBiasSpec = {
    table: weight(`${name}.block.0.layer.0.SelfAttention.relative_attention_bias.weight`, c.buckets, c.heads),
    buckets: c.buckets,
    maxDistance: c.maxDistance,
    bidirectional: name === 'encoder',
  };
  const layers = Array.from({ length: count }, (_, i): LayerSpec => {
    const sub = (index: number) => `${name}.block.${i}.layer.${index}.`;
    const norm = (index: number) => rmsNorm(`${sub(index)}layer_norm`, c.width, c.eps);
    const self: Residual<AttentionSpec> = {
      pre: norm(0),
      block: attention(c, `${sub(0)}SelfAttention.`, relativeBias),
    };
    const last = name === 'encoder' ? 1 : 2;
    const feedForward = { pre: norm(last), block: c.feedForward(`${sub(last)}DenseReluDense.`) };
    if (name === 'encoder') return { self, feedForward };
    return { self, cross: { pre: norm(1), block: attention(c, `${sub(1)}EncDecAttention.`) }, feedForward };
  });
  return {
    width: c.width,
    embedding: c.embedding,
    embeddingScale: 1,
    layers,
    finalNorm: rmsNorm(`${name}.final_layer_norm`, c.width, c.eps),
  };
}

export const t5: Family = {
  modelTypes: ['t5', 'mt5'],
  spec(config, tensors) {
    const c = readT5(config, tensors);
    const vocabulary = config.integer('vocab_size', { most: bounds.vocabulary });
    const layers = config.integer('num_layers', { most: bounds.layers });
    // Files that transformers 5 saved again say tie_word_embeddings: true and yet carry a head of their own, so the tensor
    // decides. UL2's configs have neither key: tied and scaled.
    const saysTied = config.boolean('tie_word_embeddings', true);
    const tied = tensors.size > 0 ? !tensors.has('lm_head.weight') : saysTied;
    const scaled = config.boolean('scale_decoder_outputs', saysTied);
    return {
      family: config.string('model_type', 't5'),
      encoder: stackOf(c, 'encoder', layers),
      decoder: stackOf(c, 'decoder', config.integer('num_decoder_layers', { most: bounds.layers, or: layers })),
      head: {
        weight: tied ? c.embedding : weight('lm_head.weight', vocabulary, c.width),
        scale: scaled ? c.width ** -0.5 : 1,
      },
      mask: 'causal',
      decoderPositions: 'zero',
      vocabulary: { source: vocabulary, target: vocabulary },
    };
  },
  defaults(config) {
    const vocabulary = config.integer('vocab_size', { most: bounds.vocabulary });
    const tokens = specialTokens(config, vocabulary, { eos_token_id: 1, pad_token_id: 0 });
    return { startToken: tokens.padToken ?? 0, ...tokens };
  },
  surplus: [
    // Never read: cross-attention has no relative bias. Early files have the table all the same.
    { pattern: /^decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight$/ },
    { pattern: /^(encoder|decoder)\.embed_tokens\.weight$/, sameAs: 'shared.weight' },
    { pattern: /^encoder\.embed_tokens\.weight$/, sameAs: 'decoder.embed_tokens.weight' },
  ],
};

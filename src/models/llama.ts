/** Llama (arXiv 2302.13971, 2307.09288): pre-norm decoder with rotary positions, grouped queries and a gated feed-forward block. */
import type { Config } from './config.ts';
import { specialTokens } from './defaults.ts';
import type { Family } from './family.ts';
import { activationNamed, bounds, gatedFeedForward, linear, rmsNorm, ropeOf, weight } from './parts.ts';
import type { AttentionSpec, LayerSpec } from './spec.ts';

/** The attention that every layer has, as a function of the prefix of its tensors' names. */
function attentionOf(config: Config, width: number): (prefix: string) => AttentionSpec {
  const heads = config.integer('num_attention_heads', { most: bounds.heads });
  const kvHeads = config.integer('num_key_value_heads', { most: bounds.heads, or: heads });
  if (heads % kvHeads !== 0) throw config.wrong('num_key_value_heads', `a divisor of num_attention_heads = ${heads}`);
  if (!config.has('head_dim') && width % heads !== 0) {
    throw config.wrong('num_attention_heads', `a divisor of hidden_size = ${width} where head_dim is absent`);
  }
  const headDim = config.integer('head_dim', { most: bounds.headDim, or: width / heads });
  if (headDim % 2 !== 0) {
    throw config.wrong(
      config.has('head_dim') ? 'head_dim' : 'num_attention_heads',
      'such that heads have an even size',
    );
  }
  const rope = ropeOf(config, headDim);
  const bias = config.boolean('attention_bias', false);
  return prefix => ({
    heads,
    kvHeads,
    headDim,
    scale: headDim ** -0.5,
    query: linear(`${prefix}q_proj`, heads * headDim, width, bias),
    key: linear(`${prefix}k_proj`, kvHeads * headDim, width, bias),
    value: linear(`${prefix}v_proj`, kvHeads * headDim, width, bias),
    output: linear(`${prefix}o_proj`, width, heads * headDim, bias),
    rope,
  });
}

export const llama: Family = {
  modelTypes: ['llama'],
  spec(config) {
    const vocabulary = config.integer('vocab_size', { most: bounds.vocabulary });
    const width = config.integer('hidden_size', { most: bounds.width });
    const inner = config.integer('intermediate_size', { most: bounds.width });
    const eps = config.number('rms_norm_eps', { above: 0, or: 1e-6 });
    const activation = activationNamed(config.string('hidden_act', 'silu'), 'hidden_act');
    const mlpBias = config.boolean('mlp_bias', false);
    const attention = attentionOf(config, width);
    const embedding = weight('model.embed_tokens.weight', vocabulary, width);
    const layers = Array.from(
      { length: config.integer('num_hidden_layers', { most: bounds.layers }) },
      (_, i): LayerSpec => {
        const at = `model.layers.${i}.`;
        return {
          self: { pre: rmsNorm(`${at}input_layernorm`, width, eps), block: attention(`${at}self_attn.`) },
          feedForward: {
            pre: rmsNorm(`${at}post_attention_layernorm`, width, eps),
            block: gatedFeedForward(`${at}mlp.`, width, inner, activation, mlpBias),
          },
        };
      },
    );
    const tied = config.boolean('tie_word_embeddings', false);
    return {
      family: 'llama',
      decoder: { width, embedding, embeddingScale: 1, layers, finalNorm: rmsNorm('model.norm', width, eps) },
      head: { weight: tied ? embedding : weight('lm_head.weight', vocabulary, width), scale: 1 },
      mask: 'causal',
      decoderPositions: 'zero',
      vocabulary: { source: vocabulary, target: vocabulary },
      maxTarget: config.integer('max_position_embeddings', { most: bounds.length, or: 2048 }),
    };
  },
  // No promptStart: a Llama tokenizer's post-processor adds <s> itself.
  defaults(config) {
    const vocabulary = config.integer('vocab_size', { most: bounds.vocabulary });
    return specialTokens(config, vocabulary, { eos_token_id: 2 });
  },
  surplus: [
    { pattern: /^model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq$/ },
    { pattern: /^lm_head\.weight$/, sameAs: 'model.embed_tokens.weight' },
  ],
};

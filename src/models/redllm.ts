/**
 * RedLLM (arXiv 2510.26622): encoder-decoder with continuous rotary positions in all three attentions and parameter-free norms
 * on query, key, value and attention output of each head. The layers are shared with DecLLM (decllm.ts).
 */
import type { Config } from './config.ts';
import { specialTokens } from './defaults.ts';
import type { Family } from './family.ts';
import { bounds, gatedFeedForward, linear, plainRmsNorm, rmsNorm, weight } from './parts.ts';
import type { AttentionSpec, GenerationDefaults, HeadSpec, LayerSpec, Residual, StackSpec } from './spec.ts';

/** The fields that RedLLM and DecLLM have in common; what the paper leaves open has the reference's defaults. */
export interface PaperConfig {
  readonly vocabulary: number;
  readonly width: number;
  /** Width inside the feed-forward block. */
  readonly inner: number;
  readonly heads: number;
  readonly headDim: number;
  readonly theta: number;
  readonly eps: number;
  readonly embeddingScale: number;
  readonly logitScale: number;
  /** A parameter-free norm of each head's attention output, before the output projection. */
  readonly outputNorm: boolean;
}

export function readPaperConfig(config: Config, outputNorm: boolean): PaperConfig {
  const width = config.integer('hidden_size', { most: bounds.width });
  const headDim = config.integer('head_dim', { most: bounds.headDim });
  if (headDim % 2 !== 0) throw config.wrong('head_dim', 'even, as rotation by halves needs');
  return {
    vocabulary: config.integer('vocab_size', { most: bounds.vocabulary }),
    width,
    inner: config.integer('intermediate_size', { most: bounds.width }),
    heads: config.integer('num_attention_heads', { most: bounds.heads }),
    headDim,
    theta: config.number('rope_theta', { above: 0, or: 10_000 }),
    eps: config.number('rms_norm_eps', { above: 0, or: 1e-6 }),
    embeddingScale: config.number('embedding_multiplier', { or: 1 }),
    logitScale: config.number('logits_multiplier', { or: width ** -0.5 }),
    outputNorm,
  };
}

/** The embedding [vocabulary, width] that both stacks and the head share. */
const embeddingName = 'embed_tokens.weight';

/** @param prefix of the layer's tensors, with a dot at its end */
export function paperLayer(c: PaperConfig, prefix: string, cross: boolean): LayerSpec {
  const norm = (name: string) => rmsNorm(`${prefix}${name}`, c.width, c.eps);
  const self: Residual<AttentionSpec> = { pre: norm('input_layernorm'), block: attention(c, `${prefix}self_attn.`) };
  const feedForward = {
    pre: norm('post_attention_layernorm'),
    block: gatedFeedForward(`${prefix}mlp.`, c.width, c.inner, 'silu'),
  };
  if (!cross) return { self, feedForward };
  return {
    self,
    cross: { pre: norm('cross_attention_layernorm'), block: attention(c, `${prefix}cross_attn.`) },
    feedForward,
  };
}

function attention(c: PaperConfig, prefix: string): AttentionSpec {
  const all = c.heads * c.headDim;
  const norm = plainRmsNorm(c.eps);
  return {
    heads: c.heads,
    kvHeads: c.heads,
    headDim: c.headDim,
    scale: c.headDim ** -0.5,
    query: linear(`${prefix}q_proj`, all, c.width),
    key: linear(`${prefix}k_proj`, all, c.width),
    value: linear(`${prefix}v_proj`, all, c.width),
    output: linear(`${prefix}o_proj`, c.width, all),
    queryNorm: norm,
    keyNorm: norm,
    valueNorm: norm,
    ...(c.outputNorm ? { outputNorm: norm } : {}),
    rope: { theta: c.theta, dimensions: c.headDim, factor: 1, rotatesQuery: true, rotatesKey: true },
  };
}

/** @param normName of the norm at the stack's end */
export function paperStack(c: PaperConfig, layers: readonly LayerSpec[], normName: string): StackSpec {
  return {
    width: c.width,
    embedding: weight(embeddingName, c.vocabulary, c.width),
    embeddingScale: c.embeddingScale,
    layers,
    finalNorm: rmsNorm(normName, c.width, c.eps),
  };
}

export function paperHead(c: PaperConfig): HeadSpec {
  return { weight: weight(embeddingName, c.vocabulary, c.width), scale: c.logitScale };
}

/** `bos` is the token with which the decoder starts in RedLLM, the prompt in DecLLM. */
export function paperTokens(config: Config): { bos: number; rest: GenerationDefaults } {
  const vocabulary = config.integer('vocab_size', { most: bounds.vocabulary });
  const rest = specialTokens(config, vocabulary, { eos_token_id: 2, pad_token_id: 0 });
  return { bos: config.integer('bos_token_id', { least: 0, most: vocabulary - 1, or: 1 }), rest };
}

/** A copy of the tied head may be stored beside the embedding. */
export const paperSurplus: Family['surplus'] = [{ pattern: /^lm_head\.weight$/, sameAs: embeddingName }];

export const redllm: Family = {
  modelTypes: ['redllm'],
  spec(config) {
    const c = readPaperConfig(config, config.boolean('attention_output_norm', true));
    const layers = (stack: string, cross: boolean) =>
      Array.from({ length: config.integer(`num_${stack}_layers`, { most: bounds.layers }) }, (_, i) =>
        paperLayer(c, `${stack}.layers.${i}.`, cross),
      );
    return {
      family: 'redllm',
      encoder: paperStack(c, layers('encoder', false), 'encoder.norm'),
      decoder: paperStack(c, layers('decoder', true), 'decoder.norm'),
      head: paperHead(c),
      mask: 'causal',
      decoderPositions: 'after-source',
      vocabulary: { source: c.vocabulary, target: c.vocabulary },
    };
  },
  defaults(config) {
    const { bos, rest } = paperTokens(config);
    return { startToken: bos, ...rest };
  },
  surplus: paperSurplus,
};

/** DecLLM and DecLLM+BiAttn (arXiv 2510.26622): RedLLM's decoder alone, without the norm of the attention's output. */
import type { Family } from './family.ts';
import { bounds } from './parts.ts';
import { paperHead, paperLayer, paperStack, paperSurplus, paperTokens, readPaperConfig } from './redllm.ts';

export const decllm: Family = {
  modelTypes: ['decllm'],
  spec(config) {
    const c = readPaperConfig(config, false);
    const prefix = config.oneOf('prefix_attention', ['causal', 'bidirectional'], 'causal');
    const count = config.integer('num_hidden_layers', { most: bounds.layers });
    const layers = Array.from({ length: count }, (_, i) => paperLayer(c, `layers.${i}.`, false));
    return {
      family: 'decllm',
      decoder: paperStack(c, layers, 'norm'),
      head: paperHead(c),
      mask: prefix === 'bidirectional' ? 'prefix' : 'causal',
      decoderPositions: 'zero',
      vocabulary: { source: c.vocabulary, target: c.vocabulary },
    };
  },
  defaults(config) {
    const { bos, rest } = paperTokens(config);
    return { promptStart: bos, ...rest };
  },
  surplus: paperSurplus,
};

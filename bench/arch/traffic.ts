/** Bytes that must be read at least: weights once, and the keys and values that are seen. */
import type { AttentionSpec, ComputeType, ModelSpec } from '../../src/models/spec.ts';
import { elements, sourceProducts, stackProducts } from './flops.ts';

export const bytesOf = (compute: ComputeType) => (compute === 'bfloat16' ? 2 : 4);

/** Weights that a decode step reads: of the decoder's layers, without the keys and values of cross-attention, and the head. */
export function decodeWeights(spec: ModelSpec): number {
  return stackProducts(spec.decoder) + elements(spec.head);
}

/** Weights that encoding a source reads: each is in one product a token. */
export function encodeWeights(spec: ModelSpec): number {
  return sourceProducts(spec);
}

/** Values kept for one decoder token, and for one source token. */
export function keptValues({ decoder }: ModelSpec): { readonly self: number; readonly cross: number } {
  const kept = ({ kvHeads, headDim }: AttentionSpec) => 2 * kvHeads * headDim;
  let [self, cross] = [0, 0];
  for (const layer of decoder.layers) {
    self += kept(layer.self.block);
    if (layer.cross) cross += kept(layer.cross.block);
  }
  return { self, cross };
}

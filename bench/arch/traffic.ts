/** Bytes that must be read at least: weights once, and the keys and values that are seen. */
import type { AttentionSpec, ComputeType, ModelSpec } from '../../src/models/spec.ts';
import { elements, stackProducts } from './flops.ts';

export const bytesOf = (compute: ComputeType) => (compute === 'bfloat16' ? 2 : 4);

/** Weights that a decode step reads: of the decoder's layers, without the keys and values of cross-attention, and the head. */
export function decodeWeights(spec: ModelSpec): number {
  const { shape } = spec.head.weight;
  return stackProducts(spec.decoder) + shape[0]! * shape[1]!;
}

/** Weights that encoding a source reads. */
export function encodeWeights({ encoder, decoder }: ModelSpec): number {
  if (encoder === undefined) return 0;
  const keys = decoder.layers.map(({ cross }) => (cross ? elements(cross.block.key) + elements(cross.block.value) : 0));
  return stackProducts(encoder) + keys.reduce((sum, count) => sum + count, 0);
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

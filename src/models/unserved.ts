/** What a ModelSpec can say and native code cannot run yet. */
import type { ModelSpec } from './spec.ts';

/** Each missing part as it stands in "This checkpoint needs ..., which this version does not serve."; empty: all is served. */
export function unservedParts(spec: ModelSpec): string[] {
  const parts: string[] = [];
  const layers = spec.decoder.layers;
  if (layers.some(layer => layer.self.block.merged)) parts.push('merged self- and cross-attention');

  // One pool of pages holds the keys and values of all decoder layers, self and cross, so all have one shape.
  const shape = ({ kvHeads, headDim }: { kvHeads: number; headDim: number }) => `${kvHeads}x${headDim}`;
  const selfShapes = new Set(layers.map(layer => shape(layer.self.block)));
  const crossShapes = new Set(layers.flatMap(layer => (layer.cross ? [shape(layer.cross.block)] : [])));
  if (selfShapes.size > 1 || crossShapes.size > 1) {
    parts.push('decoder layers whose keys and values differ in shape');
  } else if (new Set([...selfShapes, ...crossShapes]).size > 1) {
    parts.push('cross-attention whose keys and values differ in shape from those of self-attention');
  }

  if (new Set(spec.encoder?.layers.map(layer => shape(layer.self.block))).size > 1) {
    parts.push('encoder layers whose keys and values differ in shape');
  }

  if (spec.head.softcap !== undefined) parts.push('a soft-cap on the logits');
  if ([spec.encoder, spec.decoder].some(stack => stack?.positions?.kind === 'sinusoidal')) {
    parts.push('sinusoidal positions');
  }
  return parts;
}

/**
 * Two counts of the same pass. The paper's (arXiv 2510.26622, figure 8) takes the look-up of an embedding for a product and every key
 * for visible; what is executed looks embeddings up, sees what the mask allows, and runs the head where something is sampled. The
 * engine counts for itself (`ModelStats.multiplyAdds`), and tests hold the second to that.
 */
import type { AttentionSpec, LinearSpec, ModelSpec, StackSpec } from '../../src/models/spec.ts';

/** Source tokens, 0 for a decoder-only model, and decoder tokens. */
export interface PaperPass {
  readonly source: number;
  readonly target: number;
}

/** FLOP of a forward pass over one sequence, as spec/redllm.md has the formulas. */
export function paperFlop(spec: ModelSpec, { source: n, target: m }: PaperPass): number {
  const { width: d, layers } = spec.decoder;
  const f = layers[0]!.feedForward.block.up.weight.shape[0]!;
  const L = layers.length;
  const embedding = spec.head.weight.shape[0]! * d;
  if (spec.encoder === undefined) return 2 * m * (L * (4 * d ** 2 + 3 * d * f) + 2 * embedding) + 4 * L * m ** 2 * d;
  const encoder = 2 * n * (L * (4 * d ** 2 + 3 * d * f) + embedding) + 4 * L * n ** 2 * d;
  const decoder = 2 * m * (L * (6 * d ** 2 + 3 * d * f) + 2 * embedding) + 4 * L * n * d ** 2;
  return encoder + decoder + 4 * L * m ** 2 * d + 4 * L * m * n * d;
}

/** Decoder tokens [first, first + count) of one sequence. */
export interface DecoderPass {
  readonly first: number;
  readonly count: number;
  /** Tokens of its source; 0: it has none. */
  readonly source: number;
  /** Tokens that see each other: the prompt of a prefix-LM; else 0. */
  readonly prefix: number;
  /** Of its tokens, those whose logits are computed. */
  readonly sampled: number;
}

/** FLOP executed to encode one source of n tokens: its layers, and the keys and values of every cross-attention. */
export function encoderFlop(spec: ModelSpec, n: number): number {
  let madds = n * sourceProducts(spec);
  for (const { self } of spec.encoder?.layers ?? []) madds += pairMadds(self.block) * pairsOf(self.block, 0, n, n);
  return 2 * madds;
}

/** Multiply-adds a source token: all products of the encoder's layers, and the keys and values of every cross-attention. */
export function sourceProducts({ encoder, decoder }: ModelSpec): number {
  if (encoder === undefined) return 0;
  let madds = stackProducts(encoder);
  for (const { cross } of decoder.layers) if (cross) madds += elements(cross.block.key) + elements(cross.block.value);
  return madds;
}

/** FLOP executed by the decoder and its head. */
export function decoderFlop(spec: ModelSpec, pass: DecoderPass): number {
  const { decoder, head } = spec;
  const { first, count, source, prefix, sampled } = pass;
  let madds = count * stackProducts(decoder) + sampled * product(head.weight.shape);
  for (const { self, cross } of decoder.layers) {
    madds += pairMadds(self.block) * pairsOf(self.block, first, count, prefix);
    if (cross) madds += pairMadds(cross.block) * count * source;
  }
  return 2 * madds;
}

/** Multiply-adds a token: all products of a stack's layers, but for the keys and values of cross-attention, which are the source's. */
export function stackProducts({ layers }: StackSpec): number {
  let madds = 0;
  for (const { self, cross, feedForward } of layers) {
    const { query, key, value, output } = self.block;
    const { gate, up, down } = feedForward.block;
    for (const linear of [query, key, value, output, gate, up, down]) madds += linear ? elements(linear) : 0;
    if (cross) madds += elements(cross.block.query) + elements(cross.block.output);
  }
  return madds;
}

/** A query with a key, and a probability with a value, of all heads. */
const pairMadds = ({ heads, headDim }: AttentionSpec) => 2 * heads * headDim;

/** Queries [first, first + count) with the keys that each sees: those up to itself, or of the prefix, within the window. */
function pairsOf({ window }: AttentionSpec, first: number, count: number, prefix: number): number {
  let pairs = 0;
  for (let t = first; t < first + count; t++) {
    const right = Math.min(Math.max(t + 1, prefix), window ? t + window.ahead + 1 : Number.POSITIVE_INFINITY);
    pairs += right - (window ? Math.max(0, t - window.back) : 0);
  }
  return pairs;
}

/** Of a weight. */
export const elements = ({ weight }: LinearSpec) => product(weight.shape);

const product = (shape: readonly number[]) => shape.reduce((all, size) => all * size, 1);

/** The tensors that a ModelSpec names. */
import type { AttentionSpec, LayerSpec, LinearSpec, ModelSpec, NormSpec, StackSpec, WeightRef } from './spec.ts';

/**
 * Every tensor of the spec once, by its name, in the order of the forward pass.
 * @throws Error where a spec gives one name two shapes: a fault of its family file
 */
export function weightRefs(spec: ModelSpec): ReadonlyMap<string, WeightRef> {
  const refs = new Map<string, WeightRef>();
  for (const ref of allRefs(spec)) {
    const known = refs.get(ref.name);
    if (known && known.shape.join() !== ref.shape.join()) throw new Error(`${ref.name} is given two shapes`);
    if (!known) refs.set(ref.name, ref);
  }
  return refs;
}

/** Number of values stored in the checkpoint, a shared tensor counted once, unused rows of a position table included. */
export function parameterCount(spec: ModelSpec): number {
  let total = 0;
  for (const { shape } of weightRefs(spec).values()) total += shape.reduce((product, size) => product * size, 1);
  return total;
}

function* allRefs(spec: ModelSpec): Generator<WeightRef> {
  if (spec.encoder) yield* stackRefs(spec.encoder);
  yield* stackRefs(spec.decoder);
  yield* linearRefs(spec.head);
}

function* stackRefs(stack: StackSpec): Generator<WeightRef> {
  yield stack.embedding;
  if (stack.positions?.kind === 'learned') yield stack.positions.table;
  yield* normRefs(stack.embeddingNorm);
  for (const layer of stack.layers) yield* layerRefs(layer);
  yield* normRefs(stack.finalNorm);
}

function* layerRefs({ self, cross, feedForward }: LayerSpec): Generator<WeightRef> {
  for (const sub of cross ? [self, cross, feedForward] : [self, feedForward]) {
    yield* normRefs(sub.pre);
    if ('query' in sub.block) yield* attentionRefs(sub.block);
    else for (const part of [sub.block.gate, sub.block.up, sub.block.down]) yield* linearRefs(part);
    yield* normRefs(sub.post);
    yield* normRefs(sub.after);
  }
}

function* attentionRefs(block: AttentionSpec): Generator<WeightRef> {
  for (const part of [block.query, block.key, block.value, block.output]) yield* linearRefs(part);
  for (const norm of [block.queryNorm, block.keyNorm, block.valueNorm, block.outputNorm]) yield* normRefs(norm);
  if (block.relativeBias) yield block.relativeBias.table;
}

function* linearRefs(part: LinearSpec | undefined): Generator<WeightRef> {
  if (!part) return;
  yield part.weight;
  if (part.bias) yield part.bias;
}

function* normRefs(norm: NormSpec | undefined): Generator<WeightRef> {
  if (norm?.gain) yield norm.gain;
  if (norm?.bias) yield norm.bias;
}

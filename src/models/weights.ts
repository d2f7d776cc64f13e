/** Whether the tensors of a checkpoint are those that its spec names, no fewer, no others. */
import { basename } from 'node:path';
import type { Family } from './family.ts';
import { readAt, withFile } from './files.ts';
import { invalid, listed, shown } from './invalid.ts';
import type { StoredTensor } from './safetensors.ts';
import type { ModelSpec } from './spec.ts';
import { weightRefs } from './spec-weights.ts';

/** Where a tensor's bytes lie. `type` and the length were checked against the spec. */
export interface TensorSource {
  readonly file: string;
  readonly offset: number;
  readonly type: 'F32' | 'BF16' | 'F16';
}

export type WeightSource =
  | { readonly kind: 'files'; readonly tensors: Readonly<Record<string, TensorSource>> }
  /** Normal numbers of standard deviation fan_in^-0.5 (gains 1, biases 0), the same for a seed on every machine. */
  | { readonly kind: 'random'; readonly seed: number };

type Tensors = ReadonlyMap<string, StoredTensor>;

const servedTypes = ['F32', 'BF16', 'F16'] as const;
const compareBytes = 1 << 20;

/**
 * Where native code finds each tensor of `spec`.
 * @param surplus tensors that may be there besides; one that must equal another is compared with it byte for byte
 * @throws RedllmError `invalid_checkpoint` for a tensor that is missing, unknown, of another shape or of a type that cannot be
 *   served, and for a surplus tensor that differs from the one it should repeat
 */
export async function locateWeights(
  spec: ModelSpec,
  tensors: Tensors,
  surplus: Family['surplus'],
): Promise<WeightSource> {
  const refs = weightRefs(spec);
  const missing = [...refs.keys()].filter(name => !tensors.has(name));
  if (missing.length > 0) {
    throw invalid(`The checkpoint lacks ${missing.length} of its tensors: ${listed(missing)}.`, missing[0]);
  }

  const sources: [string, TensorSource][] = [];
  for (const [name, { shape }] of refs) {
    const tensor = tensors.get(name)!;
    const file = basename(tensor.file);
    if (tensor.shape.join() !== shape.join()) {
      const sizes = `[${tensor.shape.slice(0, 8).join(', ')}]; by config.json it must have [${shape.join(', ')}]`;
      throw invalid(`${file}: tensor ${shown(name)} has shape ${sizes}.`, name);
    }
    const type = servedTypes.find(served => served === tensor.type);
    if (!type) {
      throw invalid(`${file}: tensor ${shown(name)} is ${tensor.type}; it must be ${servedTypes.join(', ')}.`, name);
    }
    sources.push([name, { file: tensor.file, offset: tensor.offset, type }]);
  }

  await checkSurplus(
    [...tensors.keys()].filter(name => !refs.has(name)),
    tensors,
    surplus,
  );
  return { kind: 'files', tensors: Object.fromEntries(sources) };
}

async function checkSurplus(names: readonly string[], tensors: Tensors, surplus: Family['surplus']): Promise<void> {
  // Where several rules match, the first counts whose tensor to repeat is there.
  const ruleFor = (name: string) =>
    surplus.find(({ pattern, sameAs }) => pattern.test(name) && (sameAs === undefined || tensors.has(sameAs)));
  const unknown = names.filter(name => !ruleFor(name));
  if (unknown.length > 0) {
    throw invalid(`The checkpoint holds tensors that its config.json has no use for: ${listed(unknown)}.`, unknown[0]);
  }
  for (const name of names) {
    const sameAs = ruleFor(name)?.sameAs;
    if (sameAs !== undefined && !(await isCopy(tensors.get(name)!, tensors.get(sameAs)!))) {
      throw invalid(`Tensor ${shown(name)} must be a copy of ${shown(sameAs)}, but differs from it.`, name);
    }
  }
}

async function isCopy(a: StoredTensor, b: StoredTensor): Promise<boolean> {
  if (a.type !== b.type || a.shape.join() !== b.shape.join()) return false;
  return withFile(a.file, fileA =>
    withFile(b.file, async fileB => {
      for (let done = 0; done < a.bytes; done += compareBytes) {
        const count = Math.min(compareBytes, a.bytes - done);
        const [left, right] = await Promise.all([
          readAt(fileA, a.offset + done, count),
          readAt(fileB, b.offset + done, count),
        ]);
        if (!left.equals(right)) return false;
      }
      return true;
    }),
  );
}

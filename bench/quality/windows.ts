/** Given text as a model reads it, cut into windows: a prefix, and what follows it. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { ServedModel } from '../../src/served-model.ts';
import type { Say } from '../command.ts';
import type { QualityFlags } from './flags.ts';

/** What must be known of a model: those that are served have it all. */
export type Reader = Pick<
  ServedModel,
  'name' | 'spec' | 'defaults' | 'maxSource' | 'maxTarget' | 'tokenizer' | 'targetTokenizer'
>;

export interface Windows {
  /** What stands before the prefix of a decoder-only model: its own start token, or what its tokenizer begins a text with. */
  readonly start: readonly number[];
  /** Token ids, all as long as the greatest length. */
  readonly windows: readonly (readonly number[])[];
  /** By prefix: the total lengths that model and text allow, ascending; the start is not counted. */
  readonly lengths: ReadonlyMap<number, readonly number[]>;
}

/**
 * @param say told what was left out
 * @throws Error that names the flag
 */
export function cutWindows(
  model: Reader,
  asked: { readonly given: QualityFlags; readonly prefixes: readonly number[]; readonly lengths: readonly number[] },
  say: Say,
): Windows {
  const { given, prefixes } = asked;
  const tokens = readTokens(model, given);
  const start = startOf(model);
  const lengths = new Map<number, readonly number[]>();
  for (const prefix of prefixes) {
    const most = Math.min(mostTokens(model, prefix, start.length), tokens.length);
    const fitting = asked.lengths.filter(length => length > prefix && length <= most);
    const left = asked.lengths.filter(length => length > most);
    if (left.length > 0)
      say(`${model.name}, prefix ${prefix}: ${left.join(', ')} left out; model and text allow ${Math.max(0, most)}`);
    if (fitting.length > 0) lengths.set(prefix, fitting);
  }
  if (lengths.size === 0)
    throw new Error(
      `None of --prefixes and --lengths fit ${model.name} and a text of ${tokens.length} tokens: a length is prefix and target together.`,
    );
  const longest = Math.max(...[...lengths.values()].flat());
  return { start, windows: spread(tokens, longest, given.windows), lengths };
}

/** Windows that do not overlap, as far from each other as can be. */
export function spread(tokens: readonly number[], length: number, most: number): number[][] {
  const count = Math.min(most, Math.floor(tokens.length / length));
  return Array.from({ length: count }, (_, i) => {
    const first = count === 1 ? 0 : Math.floor((i * (tokens.length - length)) / (count - 1));
    return tokens.slice(first, first + length);
  });
}

/** Tokens of prefix and target together that a model takes behind such a prefix. */
function mostTokens({ spec, maxSource, maxTarget, defaults }: Reader, prefix: number, start: number): number {
  if (!spec.encoder) return maxTarget - start;
  return prefix <= maxSource ? prefix + maxTarget - (defaults.startToken === undefined ? 0 : 1) : 0;
}

function readTokens(model: Reader, given: QualityFlags): readonly number[] {
  if ((given.text === '') === (given.tokens === ''))
    throw new Error('Either --text or --tokens must be given: a file of text, or of token ids.');
  const { source, target } = model.spec.vocabulary;
  if (model.tokenizer !== model.targetTokenizer || source !== target)
    throw new Error(`--model ${model.name} has two vocabularies: no text goes on from its source to its answer.`);
  if (given.tokens !== '') return readIds(given.tokens, target);
  if (model.tokenizer === null) throw new Error(`--text needs a tokenizer, which ${model.name} lacks: use --tokens.`);
  return model.tokenizer.encode(readFile('text', given.text), { addSpecialTokens: false });
}

function readIds(path: string, vocabulary: number): number[] {
  const parts = readFile('tokens', path).split(/[\s,[\]]+/);
  return parts
    .filter(part => part !== '')
    .map(part => {
      const id = Number(part);
      if (Number.isInteger(id) && id >= 0 && id < vocabulary) return id;
      throw new Error(`--tokens ${path} holds '${part}', but this model's token ids are 0 to ${vocabulary - 1}.`);
    });
}

function startOf({ spec, defaults, tokenizer }: Reader): readonly number[] {
  if (spec.encoder) return [];
  if (defaults.promptStart !== undefined) return [defaults.promptStart];
  if (tokenizer === null) return [];
  const [plain, whole] = [tokenizer.encode('a', { addSpecialTokens: false }), tokenizer.encode('a')];
  const before = whole.findIndex((_, i) => plain.every((id, j) => whole[i + j] === id));
  return whole.slice(0, Math.max(0, before));
}

/** @throws Error that names the flag */
export function readFile(flag: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new Error(`--${flag} ${path} cannot be read: ${(error as Error).message}`);
  }
}

/** What a record says of a file that was read: a name says little. */
export function fingerprint(flag: string, path: string): { readonly sha256: string } {
  return { sha256: createHash('sha256').update(readFile(flag, path)).digest('hex') };
}

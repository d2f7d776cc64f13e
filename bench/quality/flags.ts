/** Flags of `bench quality`, and what is made of them. */
import { type Config, readConfig } from '../../src/config.ts';

export const flags = {
  /** As serve takes it: DIR, NAME=DIR or random:SIZE; several with commas stand side by side. Of phonemes by default those in the box. */
  model: '',
  /** `perplexity`, `accuracy`, `phonemes` or `locality`. */
  task: 'perplexity',
  // Where and how to compute: the settings of serve. Empty, or 0: its defaults.
  device: '',
  dtype: '',
  'cuda-library': '',
  isa: '',
  threads: 0,
  'kv-memory': '',
  'max-batch-tokens': 0,
  // Of perplexity and locality: text, or ids with white space or commas between them, and how it is cut.
  text: '',
  tokens: '',
  prefixes: '1,512,1024',
  lengths: '128,256,512,1024,2048,4096,8192,16384',
  /** At most; fewer where the text has no more of the greatest length. */
  windows: 8,
  /** Positions that a figure by position is taken over; 0: a sixteenth of the greatest length. */
  bin: 0,
  // Of locality.
  /** Keys up to the query's own that are called near: the paper's [t-4, t]. */
  near: 5,
  /** Of the source and of the answer, in the map of cross-attention. */
  parts: 128,
  // Of accuracy; all but the references of phonemes, too.
  /** JSON lines {"prompt": text or ids, "references": [text or ids, ...]}. */
  references: '',
  /** 1: greedy. Of phonemes, which are measured greedily in any case: 4 instead of 1. */
  beams: 1,
  /** Of an answer; 0: as many as fit. */
  'max-tokens': 0,
  /** Requests under way; several, with commas, are measured one after the other. */
  concurrency: '1,8,64',
  repetitions: 3,
};
export type QualityFlags = typeof flags;

export const tasks = ['perplexity', 'accuracy', 'phonemes', 'locality'] as const;
export type Task = (typeof tasks)[number];

/** @throws Error that names the flag */
export function readTask({ task }: QualityFlags): Task {
  const found = tasks.find(each => each === task);
  if (found === undefined) throw new Error(`--task must be ${tasks.join(', ')}, not '${task}'.`);
  return found;
}

/** Whole numbers with commas between them, ascending. @throws Error that names the flag */
export function readList(flag: string, said: string): number[] {
  const values = said.split(',').map(part => (part.trim() === '' ? Number.NaN : Number(part)));
  if (!values.every(value => Number.isInteger(value) && value >= 1))
    throw new Error(`--${flag} must be whole numbers from 1 with commas between them, not '${said}'.`);
  return [...new Set(values)].toSorted((a, b) => a - b);
}

/** @throws Error that names the flag */
export function readWhole(flag: keyof QualityFlags, given: QualityFlags, least = 1): number {
  const value = given[flag];
  if (!Number.isInteger(value) || (value as number) < least)
    throw new Error(`--${flag} must be a whole number from ${least}, not ${value}.`);
  return value as number;
}

/**
 * The settings of serve, with what a task needs of them.
 * @param models where none is named; without, one has to be
 * @param needs greatest length of a source or an answer, rows, and requests that wait; each where the task says
 * @throws Error that names the flag
 */
export function readSettings(
  given: QualityFlags,
  needs: { maxModelLen?: number; maxRows?: number; maxQueue?: number },
  models: readonly string[] = [],
): Config {
  if (given.model === '' && models.length === 0)
    throw new Error('--model must be given: DIR, NAME=DIR or random:SIZE.');
  const { device, dtype, isa } = given;
  const texts = { device, dtype, isa, 'cuda-library': given['cuda-library'], 'kv-memory': given['kv-memory'] };
  const numbers = {
    threads: given.threads,
    'max-batch-tokens': given['max-batch-tokens'],
    'max-model-len': needs.maxModelLen ?? 0,
    'max-rows': needs.maxRows ?? 0,
    'max-queue': needs.maxQueue ?? 0,
  };
  const said = Object.entries({ ...texts, ...numbers }).filter(([, value]) => value !== '' && value !== 0);
  // As they would come from a command line: its sentences name the flag.
  const values = Object.fromEntries(said.map(([name, value]) => [name, String(value)]));
  return readConfig({ model: given.model === '' ? [...models] : given.model.split(','), ...values }, {});
}

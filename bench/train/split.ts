/**
 * Which words are trained on and which are held out. A family (a word, its inflections and what is spelt like it but for apostrophes
 * and the like) goes one way as a whole; and of the held-out words those are not scored whose spelling may be an inflection of
 * anything that an inflection of training may be of, be that a word of the dictionary or not.
 */
import { createHash } from 'node:crypto';
import { type Pronunciations, readDictionary } from './dictionary.ts';

/** Per cent of the families. */
const shares = { test: 5, validation: 1 };

export interface Example {
  readonly prompt: string;
  /** Every pronunciation that is listed. */
  readonly references: readonly string[];
}

export interface Split {
  readonly train: readonly Example[];
  /** For looking at a training that runs. */
  readonly validation: readonly Example[];
  /** For the figures, and nothing else. */
  readonly test: readonly Example[];
}

/** The split that the models of `models/` are trained and scored on: the same on every machine. */
export function splitDictionary(words: Pronunciations = readDictionary()): Split {
  const family = familiesOf([...words.keys()]);
  const split = { train: [] as Example[], validation: [] as Example[], test: [] as Example[] };
  for (const [prompt, references] of [...words].toSorted(([a], [b]) => (a < b ? -1 : 1)))
    split[partOf(family.get(prompt)!)].push({ prompt, references });
  const seen = new Set([...split.train, ...split.validation].flatMap(({ prompt }) => kinOf(prompt)));
  return { ...split, test: split.test.filter(({ prompt }) => !kinOf(prompt).some(kin => seen.has(kin))) };
}

/** By a hash of the family's least word: no draw that could be repeated until it pleases. */
function partOf(family: string): keyof Split {
  const drawn = createHash('sha256').update(family).digest().readUInt32BE(0) % 100;
  if (drawn < shares.test) return 'test';
  return drawn < shares.test + shares.validation ? 'validation' : 'train';
}

/** Each word to the least word of its family. */
export function familiesOf(words: readonly string[]): Map<string, string> {
  const parent = new Map(words.map(word => [word, word]));
  const root = (word: string): string => {
    let found = word;
    while (parent.get(found) !== found) {
      parent.set(found, parent.get(parent.get(found)!)!);
      found = parent.get(found)!;
    }
    return found;
  };
  const spelt = new Map<string, string>();
  for (const word of words.toSorted()) {
    const bare = bareOf(word);
    if (!spelt.has(bare)) spelt.set(bare, word);
    for (const other of [spelt.get(bare)!, ...stemsOf(word)]) {
      if (!parent.has(other)) continue;
      const [least, greatest] = [root(word), root(other)].toSorted() as [string, string];
      parent.set(greatest, least);
    }
  }
  return new Map(words.map(word => [word, root(word)]));
}

/** What a word is spelt like, and what it may come from: "boldest" and "bolder" from "bold", whether that is listed or not. */
function kinOf(word: string): string[] {
  // "guest" and "crest" are no superlatives.
  return [bareOf(word), ...stemsOf(word, word.length > 5 ? [...endings, 'est'] : endings)];
}

const bareOf = (word: string) => word.replace(/['._-]/g, '');

const endings = "'s s' ' s es ed d ing ings er ers or ly in' n't".split(' ');

/** What `word` may be an inflection of, by its spelling alone: too many rather than too few. */
function stemsOf(word: string, by = endings): string[] {
  return by.flatMap(ending => {
    const stem = word.slice(0, -ending.length);
    if (!word.endsWith(ending) || stem.length < 2) return [];
    const found = [stem, `${stem}e`];
    if (stem.endsWith('i')) found.push(`${stem.slice(0, -1)}y`);
    if (stem.length >= 3 && stem.at(-1) === stem.at(-2)) found.push(stem.slice(0, -1));
    if (ending === "s'") found.push(`${stem}s`);
    return found;
  });
}

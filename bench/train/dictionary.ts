/** The CMU pronouncing dictionary as the npm package has it: "word" and "word(2)" are two pronunciations of one word. */
import { dictionary } from 'cmu-pronouncing-dictionary';

/** Word, in lower case, to its pronunciations: ARPAbet phonemes with stress (0 to 2) on vowels, a space between them. */
export type Pronunciations = ReadonlyMap<string, readonly string[]>;

/** Words of letters, apostrophes, hyphens, full stops and underscores; the few with digits are left out. */
export function readDictionary(): Pronunciations {
  const words = new Map<string, string[]>();
  for (const [entry, said] of Object.entries<string>(dictionary)) {
    const word = entry.replace(/\(\d+\)$/, '');
    // Some have a comment: "# foreign french".
    const spoken = said.replace(/\s*#.*/, '');
    if (!/^[a-z'._-]+$/.test(word)) continue;
    const known = words.get(word);
    if (known === undefined) words.set(word, [spoken]);
    else if (!known.includes(spoken)) known.push(spoken);
  }
  return words;
}

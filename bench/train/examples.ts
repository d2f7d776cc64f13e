/** Writes train.jsonl, validation.jsonl and test.jsonl, as `bench -- quality --references` reads them: `node dist/bench/train/examples.js DIR`. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Example, splitDictionary } from './split.ts';

const [directory] = process.argv.slice(2);
if (directory === undefined) throw new Error('A directory must be given for the examples.');
mkdirSync(directory, { recursive: true });
for (const [part, examples] of Object.entries<readonly Example[]>({ ...splitDictionary() })) {
  writeFileSync(join(directory, `${part}.jsonl`), examples.map(example => `${JSON.stringify(example)}\n`).join(''));
  console.log(`${part}: ${examples.length} words`);
}

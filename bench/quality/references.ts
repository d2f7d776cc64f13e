/** Prompts with the answers that are right, a JSON object a line. */
import { z } from 'zod';
import { complaint } from '../../src/complaint.ts';
import { readFile } from './windows.ts';

const textOrIds = z.union([z.string(), z.array(z.int().min(0))], 'must be text or an array of token ids');

const itemSchema = z.strictObject({
  prompt: textOrIds,
  references: z.array(textOrIds).min(1),
});

export interface Item {
  readonly prompt: string | readonly number[];
  /** All texts, or all ids. */
  readonly references: readonly string[] | readonly (readonly number[])[];
}

/** @throws Error that names the flag, the line and what is wrong there */
export function readReferences(path: string): Item[] {
  if (path === '') throw new Error('--references must be given: a file of JSON lines {"prompt", "references"}.');
  const items = readFile('references', path)
    .split('\n')
    .flatMap((line, i) => (line.trim() === '' ? [] : [readItem(line, `--references ${path}, line ${i + 1}`)]));
  if (items.length === 0) throw new Error(`--references ${path} has no line.`);
  if (new Set(items.map(({ references }) => typeof references[0])).size > 1)
    throw new Error(`--references ${path} has texts in some lines and token ids in others.`);
  return items;
}

function readItem(line: string, where: string): Item {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new Error(`${where} is no JSON.`);
  }
  const found = itemSchema.safeParse(value);
  if (!found.success) {
    const issue = found.error.issues[0]!;
    throw new Error(`${where}: ${issue.path.join('.') || 'the line'} ${complaint(issue)}.`);
  }
  const kinds = new Set(found.data.references.map(reference => typeof reference));
  if (kinds.size > 1) throw new Error(`${where}: references must be all texts, or all token ids.`);
  return found.data as Item;
}

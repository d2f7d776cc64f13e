/** Answers of a model to given prompts, so many at a time, and how well they fit the references. */
import type { Generator } from '../../src/generate.ts';
import type { ServedModel } from '../../src/served-model.ts';
import { inParallel } from '../parallel.ts';
import { bleu } from './bleu.ts';
import { chrf } from './chrf.ts';
import { nearest } from './edit-distance.ts';
import type { Item } from './references.ts';

export interface Answer {
  readonly text: string;
  readonly tokens: readonly number[];
  readonly seconds: number;
}

export interface Run {
  readonly answers: readonly Answer[];
  readonly seconds: number;
}

export interface Asking {
  readonly beams: number;
  /** 0: as many as fit. */
  readonly maxTokens: number;
  readonly concurrency: number;
  /** Nothing that was computed under another is reused. */
  readonly salt: string;
}

export async function answerAll(
  generator: Generator,
  model: ServedModel,
  items: readonly Item[],
  { beams, maxTokens, concurrency, salt }: Asking,
): Promise<Run> {
  const started = performance.now();
  const answers = await inParallel(items, concurrency, async ({ prompt }): Promise<Answer> => {
    const began = performance.now();
    const asked = { model: model.name, prompt, temperature: 0, cacheSalt: salt, ...(maxTokens > 0 && { maxTokens }) };
    const how = beams > 1 ? { beam: {}, bestOf: beams } : {};
    const tokens: number[] = [];
    let text = '';
    for await (const chunk of generator.generate({ ...asked, ...how })) {
      tokens.push(...chunk.tokens);
      text += chunk.text;
    }
    return { text, tokens, seconds: (performance.now() - began) / 1000 };
  });
  return { answers, seconds: (performance.now() - started) / 1000 };
}

export interface Fit {
  /** Shares of all answers, or of all reference tokens. */
  readonly exact: number;
  readonly edits: number;
  /** Of texts only. */
  readonly bleu?: number;
  readonly chrf?: number;
  /** Of each answer, for those who look for what went wrong. */
  readonly each: readonly {
    readonly answer: string | readonly number[];
    readonly exact: boolean;
    readonly edits: number;
  }[];
}

/** @throws Error where texts are to be compared and the model has none */
export async function fitOf(
  generator: Generator,
  model: ServedModel,
  items: readonly Item[],
  answers: readonly Answer[],
): Promise<Fit> {
  const asText = typeof items[0]!.references[0] === 'string';
  if (asText && model.targetTokenizer === null)
    throw new Error(`--references has texts, but ${model.name} has no tokenizer: give token ids.`);
  const ends = new Set(model.defaults.endTokens);
  const each = [];
  let edits = 0;
  let length = 0;
  for (const [i, { text, tokens }] of answers.entries()) {
    // Both sides the same way: text by the tokenizer, ids without the end token.
    const sequence = async (side: string | readonly number[]) =>
      typeof side === 'string'
        ? (
            await generator.tokenize({
              model: model.name,
              prompt: side.trim(),
              addSpecialTokens: false,
              side: 'target',
            })
          ).tokens
        : withoutEnd(side, ends);
    const answer = asText ? text.trim() : withoutEnd(tokens, ends);
    const own = await sequence(answer);
    const references = await Promise.all(items[i]!.references.map(sequence));
    const near = nearest(own, references);
    edits += near.edits;
    length += near.length;
    const exact = asText
      ? (items[i]!.references as readonly string[]).some(reference => reference.trim() === answer)
      : near.edits === 0;
    each.push({ answer, exact, edits: near.edits });
  }
  const exact = each.filter(item => item.exact).length / each.length;
  const shares = { exact, edits: edits / Math.max(1, length), each };
  if (!asText) return shares;
  const texts = answers.map(({ text }) => text.trim());
  const references = items.map(item => (item.references as readonly string[]).map(reference => reference.trim()));
  return { ...shares, bleu: bleu(texts, references), chrf: chrf(texts, references) };
}

function withoutEnd(tokens: readonly number[], ends: ReadonlySet<number>): readonly number[] {
  return ends.has(tokens.at(-1) ?? -1) ? tokens.slice(0, -1) : tokens;
}

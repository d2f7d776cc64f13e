/** Words to phonemes on the held-out words of the pronouncing dictionary: how many are wrong, with stress and without, and what a word takes. */
import type { Generator } from '../../src/generate.ts';
import type { ServedModel } from '../../src/served-model.ts';
import type { Say } from '../command.ts';
import { type Cell, figure } from '../record.ts';
import { nearest } from './edit-distance.ts';
import type { Item } from './references.ts';
import { inconstant, type Place, type Plan, takeTurns, timeFigures, timeRatios } from './turns.ts';

/** Shares: of words that are none of their pronunciations, and of edits over the phonemes of the nearest pronunciation. */
export interface Errors {
  readonly words: number;
  readonly phonemes: number;
}

/** @param widths of beams, 1 for greedy: one after the other */
export async function phonemeErrors(
  generator: Generator,
  models: readonly ServedModel[],
  { widths, ...plan }: Omit<Plan, 'beams'> & { readonly widths: readonly number[] },
  say: Say,
) {
  const cells: Cell[] = [];
  const disturbed: string[] = [];
  for (const beams of widths) {
    say(beams === 1 ? 'greedy' : `${beams} beams`);
    const score = (_: ServedModel, answers: readonly { readonly text: string }[]) => {
      // A decoder-only model goes on where its prompt ends: with a space.
      const spoken = answers.map(({ text }) => text.trim());
      return { stressed: errorsOf(plan.items, spoken), plain: errorsOf(plan.items, spoken, withoutStress) };
    };
    const places = await takeTurns(generator, models, { ...plan, beams }, score, say);
    cells.push(...places.map(place => cellOf(place, beams)));
    disturbed.push(...inconstant(places));
  }
  return { cells, ratios: timeRatios(cells, models), disturbed };
}

export const withoutStress = (spoken: string) => spoken.replace(/\d/g, '');

/** @param as what is compared of a pronunciation */
export function errorsOf(items: readonly Item[], spoken: readonly string[], as = (text: string) => text): Errors {
  const phonemesOf = (text: string) => as(text).split(' ');
  let wrong = 0;
  let edits = 0;
  let phonemes = 0;
  for (const [i, { references }] of items.entries()) {
    const near = nearest(phonemesOf(spoken[i]!), (references as readonly string[]).map(phonemesOf));
    wrong += near.edits > 0 ? 1 : 0;
    edits += near.edits;
    phonemes += near.length;
  }
  return { words: wrong / items.length, phonemes: edits / phonemes };
}

type Score = { readonly stressed: Errors; readonly plain: Errors };

function cellOf({ model, concurrency, runs, scores }: Place<Score>, beams: number): Cell {
  const rate = (value: (score: Score) => number) =>
    figure(
      '%',
      scores.map(score => 100 * value(score)),
    );
  return {
    protocol: 'phonemes',
    labels: { model: model.name, beams, concurrency },
    figures: {
      word_error_rate: rate(({ stressed }) => stressed.words),
      phoneme_error_rate: rate(({ stressed }) => stressed.phonemes),
      word_error_rate_without_stress: rate(({ plain }) => plain.words),
      phoneme_error_rate_without_stress: rate(({ plain }) => plain.phonemes),
      // A mean a run: there are thousands of words.
      ...timeFigures(runs, 'word', ({ answers }) => [
        answers.reduce((sum, { seconds }) => sum + seconds, 0) / answers.length,
      ]),
    },
  };
}

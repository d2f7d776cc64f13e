/** Answers against references, several models side by side: how right they are, and how long they take. */
import type { Generator } from '../../src/generate.ts';
import type { ServedModel } from '../../src/served-model.ts';
import type { Say } from '../command.ts';
import { type Cell, figure } from '../record.ts';
import { type Answer, type Fit, fitOf } from './answers.ts';
import { inconstant, type Place, type Plan, takeTurns, timeFigures, timeRatios } from './turns.ts';

export async function accuracies(generator: Generator, models: readonly ServedModel[], plan: Plan, say: Say) {
  const fit = (model: ServedModel, answers: readonly Answer[]) => fitOf(generator, model, plan.items, answers);
  const places = await takeTurns(generator, models, plan, fit, say);
  const cells = places.map(place => cellOf(place, plan.beams));
  return {
    cells,
    ratios: timeRatios(cells, models),
    disturbed: inconstant(places),
    answers: Object.fromEntries(
      models.map(model => [model.name, places.find(place => place.model === model)!.scores[0]!.each]),
    ),
  };
}

function cellOf({ model, concurrency, runs, scores }: Place<Fit>, beams: number): Cell {
  const ofFits = (unit: string, value: (fit: Fit) => number) => figure(unit, scores.map(value));
  const texts =
    scores[0]!.bleu === undefined
      ? {}
      : {
          bleu: ofFits('BLEU', ({ bleu }) => bleu!),
          chrf: ofFits('chrF', ({ chrf }) => chrf!),
        };
  return {
    protocol: 'accuracy',
    labels: { model: model.name, beams, concurrency },
    figures: {
      exact_match: ofFits('share', ({ exact }) => exact),
      edit_distance: ofFits('edits per token', ({ edits }) => edits),
      ...texts,
      ...timeFigures(runs, 'item', ({ answers }) => answers.map(({ seconds }) => seconds)),
    },
  };
}

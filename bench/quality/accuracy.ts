/** Answers against references, several models side by side: how right they are, and how long they take. */
import type { Generator } from '../../src/generate.ts';
import type { ServedModel } from '../../src/served-model.ts';
import type { Say } from '../command.ts';
import { type Cell, figure, hasLabels, type Ratio, ratio } from '../record.ts';
import { shown, type Table } from '../table.ts';
import { answerAll, type Fit, fitOf, type Run } from './answers.ts';
import type { Item } from './references.ts';

export interface Plan {
  readonly items: readonly Item[];
  readonly beams: number;
  readonly maxTokens: number;
  readonly concurrencies: readonly number[];
  readonly repetitions: number;
}

interface Measured {
  readonly model: ServedModel;
  readonly concurrency: number;
  readonly runs: Run[];
  readonly fits: Fit[];
}

/** Models in turn within a repetition: what disturbs the machine falls on all of them. */
export async function accuracies(generator: Generator, models: readonly ServedModel[], plan: Plan, say: Say) {
  const { items, beams, maxTokens } = plan;
  const places: Measured[] = plan.concurrencies.flatMap(concurrency =>
    models.map(model => ({ model, concurrency, runs: [], fits: [] })),
  );
  const ask = (model: ServedModel, concurrency: number, salt: string, some = items) =>
    answerAll(generator, model, some, { beams, maxTokens, concurrency, salt });
  for (const model of models) await ask(model, 1, 'warm-up', items.slice(0, 1));
  // Equal answers fit equally well.
  const known = new Map<string, Fit>();
  for (let repetition = 0; repetition < plan.repetitions; repetition++)
    for (const { model, concurrency, runs, fits } of places) {
      const run = await ask(model, concurrency, `${repetition} ${concurrency}`);
      const said = `${model.name} ${saidIn(run)}`;
      const fit = known.get(said) ?? (await fitOf(generator, model, items, run.answers));
      known.set(said, fit);
      runs.push(run);
      fits.push(fit);
      say(`${model.name}, ${concurrency} at a time: ${items.length} answers in ${shown(run.seconds)} s`);
    }
  const cells = places.map(place => cellOf(place, beams));
  return {
    cells,
    ratios: models.slice(1).flatMap(model => ratiosOf(cells, model.name, models[0]!.name)),
    disturbed: models.filter(model => differ(places, model)).map(({ name }) => `${name} did not answer the same twice`),
    answers: Object.fromEntries(
      models.map(model => [model.name, places.find(place => place.model === model)!.fits[0]!.each]),
    ),
  };
}

function cellOf({ model, concurrency, runs, fits }: Measured, beams: number): Cell {
  const labels = { model: model.name, beams, concurrency };
  const ofFits = (unit: string, value: (fit: Fit) => number) => figure(unit, fits.map(value));
  const generated = ({ answers }: Run) => answers.reduce((sum, { tokens }) => sum + tokens.length, 0);
  const texts =
    fits[0]!.bleu === undefined
      ? {}
      : {
          bleu: ofFits('BLEU', ({ bleu }) => bleu!),
          chrf: ofFits('chrF', ({ chrf }) => chrf!),
        };
  return {
    protocol: 'accuracy',
    labels,
    figures: {
      exact_match: ofFits('share', ({ exact }) => exact),
      edit_distance: ofFits('edits per token', ({ edits }) => edits),
      ...texts,
      seconds_per_item: figure(
        's',
        runs.flatMap(({ answers }) => answers.map(({ seconds }) => seconds)),
      ),
      tokens_per_second: figure(
        'tokens/s',
        runs.map(run => generated(run) / run.seconds),
      ),
    },
  };
}

/** Of what takes time: other figures are their own comparison. */
function ratiosOf(cells: readonly Cell[], above: string, below: string): Ratio[] {
  return cells
    .filter(({ labels }) => labels.model === above)
    .flatMap(cell => {
      const { model: _, ...labels } = cell.labels;
      const other = cells.find(each => each.labels.model === below && hasLabels(each, labels))!;
      return ['seconds_per_item', 'tokens_per_second'].map(metric => ({
        protocol: 'accuracy',
        labels,
        metric,
        above,
        below,
        figure: ratio(cell.figures[metric]!, other.figures[metric]!),
      }));
    });
}

const saidIn = ({ answers }: Run) => JSON.stringify(answers.map(({ tokens }) => tokens));

/** Whether a model gave two answers to one prompt, alone or in company. */
function differ(places: readonly Measured[], model: ServedModel): boolean {
  const all = places.filter(place => place.model === model).flatMap(({ runs }) => runs.map(saidIn));
  return new Set(all).size > 1;
}

export function accuracyTable(cells: readonly Cell[]): Table {
  return cells.map(({ labels, figures }) => ({
    model: labels.model!,
    beams: labels.beams!,
    'at a time': labels.concurrency!,
    ...Object.fromEntries(
      Object.entries(figures).map(([metric, { median }]) => [metric.replaceAll('_', ' '), shown(median)]),
    ),
  }));
}

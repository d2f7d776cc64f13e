/** Models that answer the same prompts in turn, so many at a time: what disturbs the machine falls on all of them. */
import type { Generator } from '../../src/generate.ts';
import type { ServedModel } from '../../src/served-model.ts';
import type { Say } from '../command.ts';
import { type Cell, figure, hasLabels, type Ratio, ratio } from '../record.ts';
import { shown, type Table } from '../table.ts';
import { type Answer, answerAll, type Run } from './answers.ts';
import type { Item } from './references.ts';

export interface Plan {
  readonly items: readonly Item[];
  readonly beams: number;
  readonly maxTokens: number;
  readonly concurrencies: readonly number[];
  readonly repetitions: number;
}

/** What one model did at one concurrency. `S` is how well its answers fit. */
export interface Place<S> {
  readonly model: ServedModel;
  readonly concurrency: number;
  /** One a repetition, as many as `scores`. */
  readonly runs: Run[];
  readonly scores: S[];
}

/** @param score how well a model's answers fit; asked once of equal answers */
export async function takeTurns<S>(
  generator: Generator,
  models: readonly ServedModel[],
  plan: Plan,
  score: (model: ServedModel, answers: readonly Answer[]) => S | Promise<S>,
  say: Say,
): Promise<Place<S>[]> {
  const { items, beams, maxTokens } = plan;
  const places: Place<S>[] = plan.concurrencies.flatMap(concurrency =>
    models.map(model => ({ model, concurrency, runs: [], scores: [] })),
  );
  const ask = (model: ServedModel, concurrency: number, salt: string, some = items) =>
    answerAll(generator, model, some, { beams, maxTokens, concurrency, salt });
  for (const model of models) await ask(model, 1, 'warm-up', items.slice(0, 1));
  const known = new Map<string, S>();
  for (let repetition = 0; repetition < plan.repetitions; repetition++)
    for (const { model, concurrency, runs, scores } of places) {
      const run = await ask(model, concurrency, `${beams} ${repetition} ${concurrency}`);
      const said = `${model.name} ${saidIn(run)}`;
      const found = known.get(said) ?? (await score(model, run.answers));
      known.set(said, found);
      runs.push(run);
      scores.push(found);
      say(`${model.name}, ${concurrency} at a time: ${items.length} answers in ${shown(run.seconds)} s`);
    }
  return places;
}

/** @param seconds of one run's answers, as repetitions */
export function timeFigures(runs: readonly Run[], item: string, seconds: (run: Run) => readonly number[]) {
  const generated = ({ answers }: Run) => answers.reduce((sum, { tokens }) => sum + tokens.length, 0);
  return {
    [`seconds_per_${item}`]: figure('s', runs.flatMap(seconds)),
    tokens_per_second: figure(
      'tokens/s',
      runs.map(run => generated(run) / run.seconds),
    ),
  };
}

/** Of what takes time, the first model over each of the others: other figures are their own comparison. */
export function timeRatios(cells: readonly Cell[], models: readonly ServedModel[]): Ratio[] {
  const above = models[0]!.name;
  return cells
    .filter(({ labels }) => labels.model !== above)
    .flatMap(cell => {
      const { model, ...labels } = cell.labels;
      const first = cells.find(each => each.labels.model === above && hasLabels(each, labels))!;
      return Object.keys(cell.figures)
        .filter(metric => metric.startsWith('seconds_per_') || metric === 'tokens_per_second')
        .map(metric => ({
          protocol: cell.protocol,
          labels,
          metric,
          above,
          below: String(model),
          figure: ratio(first.figures[metric]!, cell.figures[metric]!),
        }));
    });
}

const saidIn = ({ answers }: Run) => JSON.stringify(answers.map(({ tokens }) => tokens));

/** Sentences on models that gave two answers to one prompt, alone or in company: none may. */
export function inconstant(places: readonly Place<unknown>[]): string[] {
  const models = [...new Set(places.map(({ model }) => model))];
  const answersOf = (model: ServedModel) => places.filter(place => place.model === model).flatMap(({ runs }) => runs);
  return models
    .filter(model => new Set(answersOf(model).map(saidIn)).size > 1)
    .map(({ name }) => `${name} did not answer the same twice`);
}

export function turnTable(cells: readonly Cell[]): Table {
  return cells.map(({ labels, figures }) => ({
    model: labels.model!,
    beams: labels.beams!,
    'at a time': labels.concurrency!,
    ...Object.fromEntries(
      Object.entries(figures).map(([metric, { median }]) => [metric.replaceAll('_', ' '), shown(median)]),
    ),
  }));
}

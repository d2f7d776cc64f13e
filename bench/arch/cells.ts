/** Measurements as a record has them: a cell for each model at each place, and ratios between them. */
import { type Cell, type Figure, figure, type Ratio, ratio } from '../record.ts';
import { shown, type Table } from '../table.ts';
import type { Floors } from './floors.ts';
import type { Measurement } from './measure.ts';
import { timed, units } from './place.ts';

/** Figure 9 of the paper: examples per second, RedLLM over DecLLM, on two TPU v5p. */
const figure9: Readonly<Record<string, number>> = { '150m': 1.53, '1b': 1.82, '2b': 1.75, '4b': 1.94, '8b': 1.92 };

/** @param size the label of the match */
export function cellOf({ place, subject, once, samples }: Measurement, size: string, floors: Floors): Cell {
  const limits = place.limits(subject, floors);
  const figures: Record<string, Figure> = {};
  for (const name of Object.keys(samples[0] ?? {}))
    figures[name] = figure(
      units[name]!,
      samples.map(sample => sample[name]!),
      limits[name],
    );
  for (const [name, value] of Object.entries(once)) figures[name] = figure(units[name]!, [value]);
  return { protocol: place.protocol, labels: { model: subject.name, size, ...place.labels }, figures };
}

/** RedLLM over each of the others, by everything that is timed. */
export function ratiosOf(cells: readonly Cell[]): Ratio[] {
  return cells.flatMap(above => {
    const { model, ...labels } = above.labels;
    if (!String(model).startsWith('redllm')) return [];
    const others = cells.filter(
      cell => cell.labels.model !== model && cell.protocol === above.protocol && samePlace(cell, labels),
    );
    return others.flatMap(below =>
      timed
        .filter(metric => above.figures[metric] && below.figures[metric])
        .map((metric): Ratio => {
          const plain = String(below.labels.model) === `decllm-${labels.size}`;
          const paper = above.protocol === 'paper' && plain ? figure9[labels.size!] : undefined;
          return {
            protocol: above.protocol,
            labels,
            metric,
            above: String(model),
            below: String(below.labels.model),
            figure: ratio(above.figures[metric]!, below.figures[metric]!),
            ...(paper === undefined ? {} : { paper }),
          };
        }),
    );
  });
}

const samePlace = (cell: Cell, labels: Cell['labels']) =>
  Object.entries(labels).every(([name, value]) => cell.labels[name] === value);

/** A line a ratio: RedLLM's figure, the other's, and their quotient with quartiles. */
export function tableOf(cells: readonly Cell[], ratios: readonly Ratio[]): Table {
  return ratios.map(({ protocol, labels, metric, above, below, figure: found, paper }) => {
    const of = (model: string) =>
      cells.find(cell => cell.protocol === protocol && cell.labels.model === model && samePlace(cell, labels))!.figures[
        metric
      ]!;
    const place = Object.entries(labels).map(([name, value]) => `${name} ${value}`);
    return {
      place: `${protocol}: ${place.join(', ')}`,
      metric,
      above: `${above} ${shown(of(above).median)}`,
      below: `${below} ${shown(of(below).median)}`,
      ratio: shown(found.median),
      quartiles: `${shown(found.low)} .. ${shown(found.high)}`,
      paper: paper ?? '',
    };
  });
}

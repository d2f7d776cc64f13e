/** Measurements as a record has them: a cell for each model at each place, and ratios between them. */
import { paperRatio } from '../figure9.ts';
import { type Cell, cellOf as cellInRatio, type Figure, figure, hasLabels, type Ratio, ratio } from '../record.ts';
import { shown, type Table } from '../table.ts';
import type { Floors } from './floors.ts';
import type { Measurement } from './measure.ts';
import { timed, units } from './place.ts';

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
      cell => cell.labels.model !== model && cell.protocol === above.protocol && hasLabels(cell, labels),
    );
    return others.flatMap(below =>
      timed
        .filter(metric => above.figures[metric] && below.figures[metric])
        .map((metric): Ratio => {
          const pair = {
            protocol: above.protocol,
            labels,
            metric,
            above: String(model),
            below: String(below.labels.model),
          };
          const paper = paperRatio(pair);
          return {
            ...pair,
            figure: ratio(above.figures[metric]!, below.figures[metric]!),
            ...(paper === undefined ? {} : { paper }),
          };
        }),
    );
  });
}

/** A line a ratio: RedLLM's figure, the other's, and their quotient with quartiles. */
export function tableOf(cells: readonly Cell[], ratios: readonly Ratio[]): Table {
  return ratios.map(one => {
    const { protocol, labels, metric, above, below, figure: found, paper } = one;
    const of = (model: string) => cellInRatio(cells, one, model)!.figures[metric]!;
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

/** Words to phonemes in brief: a row for each model and width, whose answers are the same at every concurrency. */
import { groupBy } from '../group.ts';
import { measured, type Table } from './document.ts';
import { metricTitle } from './metrics.ts';
import { compareLabels } from './places.ts';
import type { StoredCell } from './results.ts';

const rates = [
  'word_error_rate',
  'word_error_rate_without_stress',
  'phoneme_error_rate',
  'phoneme_error_rate_without_stress',
];

/** @param cells of the protocol `phonemes`, of one machine; at least one */
export function wordTable(cells: readonly StoredCell[]): Table {
  const concurrencies = [...new Set(cells.map(({ labels }) => Number(labels.concurrency)))].toSorted((a, b) => a - b);
  const rows = groupBy(
    cells.toSorted((a, b) => compareLabels(a.labels, b.labels, ['beams', 'model', 'concurrency'])),
    ({ labels }) => JSON.stringify([labels.model, labels.beams]),
  );
  const at = (row: readonly StoredCell[], concurrency: number) =>
    row.find(({ labels }) => labels.concurrency === concurrency)?.figures;
  return {
    kind: 'table',
    caption: 'Words to phonemes',
    columns: [
      { title: 'model' },
      { title: 'beams', numeric: true },
      ...rates.map(name => ({ title: metricTitle(name, '%'), numeric: true })),
      { title: `ms/word at ${concurrencies[0]}`, numeric: true },
      ...concurrencies.map(concurrency => ({ title: `tokens/s at ${concurrency}`, numeric: true })),
    ],
    rows: [...rows.values()].map(row => {
      const { labels, figures } = row[0]!;
      return [
        String(labels.model),
        String(labels.beams),
        ...rates.map(name => measured(name, figures[name])),
        measured('seconds_per_word', figures.seconds_per_word),
        ...concurrencies.map(concurrency => measured('tokens_per_second', at(row, concurrency)?.tokens_per_second)),
      ];
    }),
  };
}

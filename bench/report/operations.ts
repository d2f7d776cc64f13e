/** How many operations a sequence takes: by the paper's formula, as executed here, and as the engine counted them while it ran. */
import { groupBy } from '../group.ts';
import { labelColumns, labelWords } from './cell-table.ts';
import { measured, type Section, sectionOf, type Table } from './document.ts';
import { campaignsOf } from './machines.ts';
import { metricTitle } from './metrics.ts';
import { captionOf, columnsOf, compareLabels } from './places.ts';
import type { Stored, StoredCell } from './results.ts';

const counts = ['paper_flop', 'all_logits_flop', 'executed_flop', 'counted_flop'] as const;

export function operationSection(records: readonly Stored[]): Section[] {
  const cells = campaignsOf(records, 'arch').flatMap(campaign =>
    campaign.cells.filter(({ figures }) => counts.every(name => figures[name] !== undefined)),
  );
  // They are the same on every machine: one row for each model at each place.
  const once = [...groupBy(cells, ({ protocol, labels }) => JSON.stringify([protocol, labels])).values()];
  const about =
    "The paper's formula takes the look-up of an embedding for a product and attention for full; what is executed leaves out what a causal mask hides, and computes logits only where a token is to be sampled. Between the two stands what is executed where all of the decoder's logits are computed, as in pretraining. The engine's own counters are of the run itself.";
  const tables = once.length === 0 ? [] : [countTable(once.map(group => group.at(-1)!))];
  return sectionOf('operations', 'Operations', about, tables);
}

function countTable(cells: readonly StoredCell[]): Table {
  const { names, same } = columnsOf(cells);
  return {
    kind: 'table',
    caption: captionOf('Operations of one forward pass', same),
    columns: [
      ...labelColumns(cells, names),
      ...counts.map(name => ({ title: metricTitle(name, cells[0]!.figures[name]!.unit), numeric: true })),
      { title: 'all logits / paper', numeric: true },
      { title: 'executed / paper', numeric: true },
      { title: 'counted / executed', numeric: true },
    ],
    rows: cells
      .toSorted((a, b) => compareLabels(a.labels, b.labels, ['size', ...names]))
      .map(({ labels, figures }) => {
        const [paper, allLogits, executed, counted] = counts.map(name => figures[name]!) as [
          Count,
          Count,
          Count,
          Count,
        ];
        return [
          ...labelWords(labels, names),
          ...counts.map(metric => measured(metric, figures[metric])),
          { kind: 'quotient', above: allLogits, below: paper },
          { kind: 'quotient', above: executed, below: paper },
          { kind: 'quotient', above: counted, below: executed },
        ];
      }),
  };
}

type Count = StoredCell['figures'][string];

/** The README's tables: what stands between their marks is written by the report, and by nobody else. */
import { measured, type Piece, quoted } from './document.ts';
import { campaignsOf } from './machines.ts';
import { markdownTable } from './markdown.ts';
import { metricOf } from './metrics.ts';
import { favours, protocolText, ratiosOf, type Summary, summarise } from './ratios.ts';
import type { Stored } from './results.ts';
import { wordTable } from './word-table.ts';

/** Each between its marks: the words that name it, and what stands there. */
const blocks: readonly { readonly name: string; readonly write: (records: readonly Stored[]) => string }[] = [
  { name: 'ratios', write: ratioBlock },
  { name: 'words', write: wordBlock },
];

/** Times and rates; the report has every metric. */
const shownMetrics = ['examples_per_second', 'ttft_ms', 'tpot_ms', 'e2e_ms', 'tokens_per_second'];

/** @returns the text with its blocks as the records have them; null where it has no marks */
export function withRecords(readme: string, records: readonly Stored[]): string | null {
  let found: string | null = null;
  for (const { name, write } of blocks) {
    const begin = `<!-- ${name}: written by \`npm run bench -- report\` -->`;
    const now: string = found ?? readme;
    const from = now.indexOf(begin);
    const to = now.indexOf(`<!-- end of ${name} -->`, from);
    if (from >= 0 && to >= 0) found = `${now.slice(0, from + begin.length)}\n\n${write(records)}\n\n${now.slice(to)}`;
  }
  return found;
}

function wordBlock(records: readonly Stored[]): string {
  const tables = campaignsOf(records, 'quality').flatMap(({ machine, cells, disturbed }) => {
    const words = cells.filter(({ protocol }) => protocol === 'phonemes');
    const noted = disturbed.length > 0 ? ' The run was disturbed, as its record says.' : '';
    return words.length === 0
      ? []
      : [
          `${markdownTable(wordTable(words))}\n\nOn ${machine}; WER and PER are word and phoneme error rates. Times are of so many words under way.${noted}`,
        ];
  });
  return tables.length === 0 ? 'No words have been measured yet.' : tables.join('\n\n');
}

function ratioBlock(records: readonly Stored[]): string {
  const architectures = records.filter(({ record }) => record.benchmark === 'arch');
  const summaries = summarise(ratiosOf(architectures)).filter(
    ({ pair, metric }) => pair === 'RedLLM / DecLLM' && shownMetrics.includes(metric),
  );
  if (summaries.length === 0) return 'No ratio has been measured yet.';
  const machines = [...new Set(summaries.map(({ machine }) => machine))];
  const table = markdownTable({
    columns: [
      { title: 'protocol' },
      { title: 'size' },
      { title: 'RedLLM / DecLLM in' },
      { title: 'places', numeric: true },
      { title: 'least', numeric: true },
      { title: 'greatest', numeric: true },
      { title: 'the paper', numeric: true },
      { title: 'RedLLM is better' },
      ...(machines.length > 1 ? [{ title: 'machine' }] : []),
    ],
    rows: summaries.map(summary => [...row(summary), ...(machines.length > 1 ? [summary.machine] : [])]),
  });
  const where = machines.length > 1 ? '' : `On ${machines[0]}. `;
  const disturbed = summaries.some(summary => summary.disturbed)
    ? ' Runs with an asterisk were disturbed, as their records say.'
    : '';
  return `${table}\n\n${where}Medians of interleaved repetitions and, in brackets, their quartiles; of a grid with several places the least and the greatest.${disturbed}`;
}

function row(summary: Summary): (Piece | Piece[])[] {
  const { size, metric, paper, disturbed, places, least, greatest } = summary;
  return [
    protocolText(summary),
    size,
    [metricOf(metric, '').title, ...(disturbed ? [' *'] : [])],
    String(places.length),
    measured('ratio', least.figure),
    places.length === 1 ? '' : measured('ratio', greatest.figure),
    quoted(paper),
    favours(metric),
  ];
}

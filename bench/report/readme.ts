/** The README's table of ratios: what stands between two marks is written by the report, and by nobody else. */
import { measured, type Piece, quoted } from './document.ts';
import { markdownTable } from './markdown.ts';
import { metricOf } from './metrics.ts';
import { favours, protocolText, ratiosOf, type Summary, summarise } from './ratios.ts';
import type { Stored } from './results.ts';

const begin = '<!-- ratios: written by `npm run bench -- report` -->';
const end = '<!-- end of ratios -->';

/** Times and rates; the report has every metric. */
const shownMetrics = ['examples_per_second', 'ttft_ms', 'tpot_ms', 'e2e_ms', 'tokens_per_second'];

/** @returns the text with its block as the records have it; null where it has no marks */
export function withRatios(readme: string, records: readonly Stored[]): string | null {
  const from = readme.indexOf(begin);
  const to = readme.indexOf(end, from);
  if (from < 0 || to < 0) return null;
  return `${readme.slice(0, from + begin.length)}\n\n${ratioBlock(records)}\n\n${readme.slice(to)}`;
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

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
  const summaries = summarise(ratiosOf(records)).filter(
    ({ pair, metric }) => pair === 'RedLLM / DecLLM' && shownMetrics.includes(metric),
  );
  if (summaries.length === 0) return 'No ratio has been measured yet.';
  const table = markdownTable({
    columns: [
      { title: 'protocol' },
      { title: 'size' },
      { title: 'RedLLM / DecLLM in' },
      { title: 'ratio', numeric: true },
      { title: 'the paper', numeric: true },
      { title: 'RedLLM is better' },
      { title: 'machine' },
    ],
    rows: summaries.map(row),
  });
  const disturbed = summaries.some(summary => summary.disturbed)
    ? ' An asterisk: the run was disturbed, as its record says.'
    : '';
  return `${table}\n\nMedians of interleaved repetitions, with quartiles; where a grid has several places, the least and the greatest.${disturbed}`;
}

function row(summary: Summary): (Piece | Piece[])[] {
  const { size, metric, places, least, greatest, paper, machine, disturbed } = summary;
  const range: Piece[] = [measured('ratio', least.figure)];
  if (places.length > 1) range.push(' to ', measured('ratio', greatest.figure), `, ${places.length} places`);
  const title = metricOf(metric, '').title;
  return [protocolText(summary), size, title, range, quoted(paper), favours(metric), machine + (disturbed ? ' *' : '')];
}

/** What was measured, as one page, Markdown and plots; docs/benchmark.md says how to read it. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from '../command.ts';
import { architectureSections } from './architectures.ts';
import { claimSection } from './claims.ts';
import { plotsOf, type Section } from './document.ts';
import { asFile, draw } from './drawing.ts';
import { htmlPage } from './html.ts';
import { inventorySections } from './inventory.ts';
import { loadSection } from './load.ts';
import { markdownPage } from './markdown.ts';
import { operationSection } from './operations.ts';
import { qualitySection } from './quality.ts';
import { ratioSection } from './ratio-section.ts';
import { withRecords } from './readme.ts';
import { type Results, readResults } from './results.ts';
import { rooflineSection } from './roofline.ts';

const flags = {
  /** A folder of records. */
  results: 'bench/results',
  /** Where page, Markdown and plots go. */
  out: 'dist/report',
  /** The file whose table of ratios is written; none where it is not there. */
  readme: 'README.md',
  /** Writes nothing, and fails where that table is not what the records say. */
  check: false,
};

export const report: Command<typeof flags> = {
  about: 'one page, Markdown and plots of all records in a folder',
  takes: '',
  flags,
  run: async (given, _paths, say) => {
    const results = readResults(given.results);
    const readme = existsSync(given.readme) ? readFileSync(given.readme, 'utf8') : '';
    const current = withRecords(readme, results.records);
    if (given.check) {
      if (current !== null && current !== readme)
        throw new Error(`${given.readme}: its tables are not those of ${given.results}: npm run bench -- report`);
      say(`${given.readme} has the tables of ${given.results}.`);
      return undefined;
    }
    const sections = sectionsOf(results);
    await writePages(given.out, sections, results);
    if (current !== null && current !== readme) writeFileSync(given.readme, current);
    say(`${results.records.length} records, ${plotsOf(sections).length} plots: ${join(given.out, 'index.html')}`);
    return undefined;
  },
};

/** Ratios before absolute times, and where everything comes from at the end. */
export function sectionsOf(results: Results): Section[] {
  const { records } = results;
  return [
    ...ratioSection(records),
    claimSection(records),
    ...architectureSections(records),
    ...operationSection(records),
    ...rooflineSection(records),
    ...qualitySection(records),
    ...loadSection(records),
    ...inventorySections(results),
  ];
}

async function writePages(out: string, sections: readonly Section[], results: Results): Promise<void> {
  const plots = join(out, 'plots');
  mkdirSync(plots, { recursive: true });
  const drawings = new Map<string, string>();
  for (const plot of plotsOf(sections)) drawings.set(plot.name, await draw(plot));
  for (const [name, drawing] of drawings) writeFileSync(join(plots, `${name}.svg`), asFile(drawing));
  writeFileSync(join(out, 'index.html'), htmlPage(sections, drawings, results));
  writeFileSync(join(out, 'report.md'), markdownPage(sections));
}

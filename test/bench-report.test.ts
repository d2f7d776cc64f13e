/** The report: one page that needs nothing else, whose every number is in a record or follows from one. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import type { BenchmarkRecord } from '../bench/record.ts';
import { plotsOf, tablesOf } from '../bench/report/document.ts';
import { htmlPage } from '../bench/report/html.ts';
import { withRecords } from '../bench/report/readme.ts';
import { report, sectionsOf } from '../bench/report/report.ts';
import { readResults } from '../bench/report/results.ts';
import { shown } from '../bench/table.ts';
import { bundledModels } from '../src/cli/models.ts';
import { packageRoot } from '../src/package-root.ts';
import { archRecord, qualityRecord, resultsFolder, serveRecord } from './fixtures/benchmark-records.ts';
import { allNumbers, attributesOf, textOf, wellFormed } from './fixtures/markup.ts';

const folders: string[] = [];
after(() => folders.forEach(folder => void rmSync(folder, { recursive: true })));

const folder = (files: Readonly<Record<string, unknown>>) => {
  const made = resultsFolder(files);
  folders.push(made);
  return made;
};

const all = () => ({
  'arch.json': archRecord(),
  'arch-part.json': { ...archRecord(['150m'], 9), device: 'cpu avx2' },
  'quality.json': qualityRecord(),
  'load.json': serveRecord(),
  'serving-gap.json': { benchmark: 'gap', commit: 'abc', flags: { size: '150m', threads: 0 }, measured: [] },
  'native-cpu.json': { commit: 'abc', products: [] },
});

async function written(
  results: string,
  more: Partial<typeof report.flags> = {},
): Promise<{ out: string; said: string[] }> {
  const out = folder({});
  const said: string[] = [];
  await report.run({ ...report.flags, results, out, readme: '', ...more }, [], line => said.push(line));
  return { out, said };
}

describe('the page', async () => {
  const results = folder(all());
  const { out } = await written(results);
  const page = readFileSync(join(out, 'index.html'), 'utf8');
  const markdown = readFileSync(join(out, 'report.md'), 'utf8');

  it('is well-formed, and so is every plot', () => {
    assert.equal(wellFormed(page), null);
    for (const name of readdirSync(join(out, 'plots')))
      assert.equal(wellFormed(readFileSync(join(out, 'plots', name), 'utf8')), null, name);
  });

  it('refers to nothing but itself', () => {
    const ids = new Set(attributesOf(page, 'id'));
    for (const name of ['href', 'src', 'xlink:href', 'srcset', 'action'])
      for (const value of attributesOf(page, name))
        assert.ok(value === 'data:,' || (value.startsWith('#') && ids.has(value.slice(1))), `${name}="${value}"`);
    assert.doesNotMatch(page, /url\((?!#)|@import|<script(?! type="application\/json")|\son\w+="/);
    assert.equal(ids.size, attributesOf(page, 'id').length, 'an id stands twice');
  });

  it('has every plot, each of them with all of its points', () => {
    const plots = plotsOf(sectionsOf(readResults(results)));
    assert.equal(new Set(plots.map(({ name }) => name)).size, plots.length);
    assert.equal(page.split('<figure>').length - 1, plots.length);
    for (const { name, points } of plots) {
      const svg = readFileSync(join(out, 'plots', `${name}.svg`), 'utf8');
      const marks = svg.split('mark-symbol role-mark').slice(1).join('').match(/<path/g) ?? [];
      assert.ok(
        points.length > 0 && marks.length >= points.length,
        `${name} draws ${marks.length} of ${points.length}`,
      );
      assert.match(markdown, new RegExp(`plots/${name}\\.svg`));
    }
  });

  it('has architectures by size, ratios beside the paper, distance from limits, perplexity by length, load curves', () => {
    const names = plotsOf(sectionsOf(readResults(results))).map(({ name }) => name);
    for (const wanted of [
      /^arch-paper-examples-per-second/,
      /^arch-generation-ttft-ms/,
      /^arch-reuse-tokens-per-second/,
      /^arch-length-source-ttft-ms/,
      /^ratio-paper/,
      /^limit-generation/,
      /^quality-perplexity-by-length-perplexity/,
      /^load-ttft/,
      /^load-output-throughput/,
    ])
      assert.ok(
        names.some(name => wanted.test(name)),
        `${wanted} of ${names}`,
      );
  });

  it('names what is no part of it, with its command', () => {
    const text = textOf(page);
    assert.match(text, /serving-gap\.json\s+npm run bench:serving -- gap --size 150m --threads 0 serving-gap\.json/);
    assert.match(text, /native-cpu\.json\s+npm run bench:native -- native-cpu\.json/);
  });

  it('says of a disturbed run that it was, on the page and in Markdown', () => {
    assert.match(page, /class="warning" role="note"><b>Disturbed<\/b><ul><li>quality\.json: another process/);
    assert.match(markdown, /> \*\*Disturbed\*\*\n> - quality\.json: another process/);
    assert.match(textOf(page), /quality\.json\s+\S+\s+.*Disturbed: another process/);
  });

  it('marks absolute times by machine', () => {
    for (const { name, note } of plotsOf(sectionsOf(readResults(results))))
      assert.match(note, /Example CPU, 2 cores/, name);
  });

  it('says of a claim what was measured and where, or that it was not', () => {
    const claims = tablesOf(sectionsOf(readResults(results))).find(
      ({ caption }) => caption === 'Claims of the abstract',
    )!;
    const text = textOf(page);
    assert.match(text, /150M, examples per second: [\d.]+ [\d.]+ to [\d.]+, the paper 1\.53/);
    assert.match(text, /arch\.json: ratios of paper, examples_per_second\./);
    assert.match(text, /redllm-tiny, greedy: 28\.0 %\.\s*decllm-tiny, greedy: 29\.0 %\./);
    assert.equal(claims.rows.filter(([, measured]) => /^Not measured here/.test(String(measured))).length, 2);
  });

  it('keeps the records within it as they are', () => {
    const json = /<script type="application\/json" id="data">(.*?)<\/script>/s.exec(page)![1]!;
    const { records } = JSON.parse(json) as { records: { file: string; record: unknown }[] };
    const { more: _, ...kept } = serveRecord();
    assert.deepEqual(records.find(({ file }) => file === 'load.json')!.record, kept);
  });

  it('is the same from the same records', async () => {
    const few = folder({ 'arch.json': archRecord(['150m']) });
    const [one, other] = [await written(few), await written(few)];
    assert.equal(
      readFileSync(join(one.out, 'index.html'), 'utf8'),
      readFileSync(join(other.out, 'index.html'), 'utf8'),
    );
  });
});

it('shows no number that is not in a record or follows from one', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1e6 }), fc.boolean(), (seed, large) => {
      const records = {
        'arch.json': archRecord(large ? ['150m', '8b'] : ['150m'], seed),
        'quality.json': qualityRecord(seed + 1),
        'load.json': serveRecord('redllm', seed + 2),
      };
      const results = folder(records);
      const found = readResults(results);
      const sections = sectionsOf(found);
      const plots = plotsOf(sections);
      const known = allowedNumbers(Object.values(records));
      // Counts of places and of repetitions are the report's own.
      for (let count = 0; count <= 20; count++) known.add(String(count));
      const body = htmlPage(sections, new Map(plots.map(({ name }) => [name, ''])), found);
      const cells = [...body.matchAll(/<td[^>]*>(.*?)<\/td>/gs)].map(([, cell]) => textOf(cell!));
      for (const cell of cells)
        for (const number of cell.match(/\d+(\.\d+)?/g) ?? []) assert.ok(known.has(number), `${number} in '${cell}'`);
      const values = allNumbers(records);
      const rounded = new Set([...values].map(value => value.toPrecision(12)));
      const near = (value: number) =>
        values.has(value) || values.has(value * 2 ** 20) || rounded.has((value / 1000).toPrecision(12));
      for (const { name, points } of plots)
        for (const { x, y, low, high } of points)
          for (const value of name.startsWith('limit') ? [] : [x, y, low ?? 1, high ?? 1])
            if (typeof value === 'number') assert.ok(near(value) || value === 1, `${value} in ${name}`);
    }),
    { numRuns: 6 },
  );
});

/** As they may be shown: numbers within words, measured values, and shares of limits. */
function allowedNumbers(records: readonly unknown[]): Set<string> {
  const known = new Set<string>();
  const words = JSON.stringify(records);
  for (const number of words.match(/\d+(\.\d+)?/g) ?? []) known.add(number);
  for (const value of allNumbers(records))
    for (const one of [value, value / 2 ** 20, value / 1e9, value * 1000]) known.add(shown(one));
  const figures = (records as BenchmarkRecord[]).flatMap(({ cells }) =>
    cells.flatMap(cell => Object.values(cell.figures)),
  );
  for (const { repetitions } of figures) known.add(String(repetitions.length));
  for (const { median, limit } of figures)
    if (limit) for (const share of [median / limit.value, limit.value / median]) known.add(shown(100 * share));
  // Operations: executed over the paper's, and counted over executed.
  for (const above of figures)
    for (const below of figures)
      if (above.unit === 'FLOP' && below.unit === 'FLOP') known.add(shown(above.median / below.median));
  // The paper's number, and the sizes and the figure that its claims are about.
  for (const number of ['2510.26622', '150', '8', '9']) known.add(number);
  return known;
}

describe('what it refuses', () => {
  const refused = async (files: Readonly<Record<string, unknown>>, said: RegExp) => {
    const out = folder({});
    await assert.rejects(
      async () => report.run({ ...report.flags, results: folder(files), out, readme: '' }, [], () => {}),
      said,
    );
    assert.equal(existsSync(join(out, 'index.html')), false);
  };

  it('a record that does not follow, by file and field', async () => {
    const faked = archRecord(['150m']);
    faked.cells[0]!.figures.examples_per_second!.median *= 2;
    await refused(
      { ...all(), 'arch.json': faked },
      /arch\.json: cells\.0\.figures\.examples_per_second\.median is not/,
    );
  });

  it('a record that was made to look like another file', async () => {
    const { format: _, ...rest } = archRecord(['150m']);
    await refused({ 'a.json': rest }, /a\.json: format /);
    await refused({ 'a.json': { ...archRecord(['150m']), benchmark: 'gap' } }, /a\.json: benchmark /);
  });

  it('a torn file', () => refused({ 'a.json': '{"benchmark": "ar' }, /a\.json: is no JSON/));
});

it('leaves out what has no data, and says so', async () => {
  const one = archRecord(['150m']);
  one.cells = one.cells.filter(({ protocol }) => protocol === 'paper');
  one.ratios = [];
  const { out } = await written(folder({ 'one.json': one }));
  const page = readFileSync(join(out, 'index.html'), 'utf8');
  assert.match(page, /Measured at one place only: there is a table, and nothing to plot\./);
  assert.doesNotMatch(page, /id="(quality|load|ratios)"/);
  const none = await written(folder({}));
  assert.match(readFileSync(join(none.out, 'index.html'), 'utf8'), /There is no record in the folder yet/);
});

it('takes a hostile name for text', async () => {
  const record = archRecord(['150m']);
  const name = '</script><img src="https://example.invalid/a.png" onerror="x">|*&';
  record.device = name;
  record.disturbed = [name];
  const { out } = await written(folder({ 'a.json': record }));
  const page = readFileSync(join(out, 'index.html'), 'utf8');
  assert.equal(wellFormed(page), null);
  assert.doesNotMatch(page, /<img/);
  assert.match(readFileSync(join(out, 'report.md'), 'utf8'), /\\<img src=.*\\>\\\|\\\*&/);
});

describe('the table in the README', () => {
  const marked = (content: string) =>
    `# A\n\n<!-- ratios: written by \`npm run bench -- report\` -->\n${content}<!-- end of ratios -->\n\nB\n`;

  it('is written between its marks, and nothing else is', async () => {
    const readme = join(folder({}), 'README.md');
    writeFileSync(readme, marked(''));
    await written(folder({ 'arch.json': archRecord(['150m', '8b']) }), { readme });
    const now = readFileSync(readme, 'utf8');
    assert.match(now, /^# A\n\n<!-- ratios/);
    assert.match(now, /<!-- end of ratios -->\n\nB\n$/);
    assert.match(
      now,
      /\| paper \| 150M \| examples per second \| 1 \| 1\.\d\d \(1\.\d\d to 1\.\d\d\) \| {2}\| 1\.53 \| above 1 \|\n/,
    );
    assert.match(now, /\nOn cpu avx512, Example CPU, 2 cores\. Medians/);
    assert.match(now, /\| generation \| 8B \| end to end \| 4 \| 0\.\d+ \([^)]+\) \| 0\.\d+ \([^)]+\) \|/);
  });

  it('is checked, and not written then', async () => {
    const readme = join(folder({}), 'README.md');
    writeFileSync(readme, marked(''));
    const results = folder({ 'arch.json': archRecord(['150m']) });
    await assert.rejects(written(results, { readme, check: true }), /README\.md: its tables are not those of/);
    assert.equal(readFileSync(readme, 'utf8'), marked(''));
    await written(results, { readme });
    const { out, said } = await written(results, { readme, check: true });
    assert.deepEqual(readdirSync(out), []);
    assert.match(said[0]!, /has the tables of/);
  });

  it("is that of the project's own records, all of which hold", () => {
    const root = packageRoot;
    const readme = readFileSync(join(root, 'README.md'), 'utf8');
    const { records } = readResults(join(root, 'bench', 'results'));
    assert.equal(readme, withRecords(readme, records), 'npm run bench -- report');
  });

  it('has the scores that stand on the model cards', () => {
    const { records } = readResults(join(packageRoot, 'bench', 'results'));
    const cells = records.flatMap(({ record }) => record.cells).filter(({ protocol }) => protocol === 'phonemes');
    for (const { labels, figures } of cells) {
      const rates = ['word_error_rate', 'word_error_rate_without_stress', 'phoneme_error_rate'] as const;
      const shown = rates.map(rate => `${figures[rate]!.median.toFixed(1)} %`);
      const row = `| ${labels.model} | ${labels.beams === 1 ? 'greedy' : `${labels.beams} beams`} | ${shown.join(' | ')} |`;
      for (const model of bundledModels)
        assert.ok(readFileSync(join(model, 'README.md'), 'utf8').includes(row), `${row} in the card of ${model}`);
    }
    assert.ok(cells.length > 0);
  });
});

/** The report as one page: no script, nothing fetched, everything that was measured inside. */
import type { Block, Piece, Plot, Section, Table } from './document.ts';
import { colourSheet } from './drawing.ts';
import { worded } from './pieces.ts';
import type { Results } from './results.ts';
import { styleSheet } from './style.ts';

/** @param drawings by the plot's name */
export function htmlPage(
  sections: readonly Section[],
  drawings: ReadonlyMap<string, string>,
  results: Results,
): string {
  const contents = sections.map(({ id, title }) => `<li><a href="#${id}">${escaped(title)}</a></li>`);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<meta name="color-scheme" content="light dark" />
<title>redllm: benchmarks</title>
<link rel="icon" href="data:," />
<style>
${colourSheet}
${styleSheet}
</style>
</head>
<body>
<header>
<h1>RedLLM against DecLLM, measured</h1>
<p>Encoder-decoder and decoder-only language models on the same kernels, and servers under load. Every number on this page is in one of the records that it names, or follows from them. Ratios come first: absolute times are those of the machine that stands beside them.</p>
<nav aria-label="Contents"><ul>${contents.join('')}</ul></nav>
</header>
<main>
${sections.map(section => sectionHtml(section, drawings)).join('\n')}
</main>
<script type="application/json" id="data">${embedded(results)}</script>
</body>
</html>
`;
}

function sectionHtml({ id, title, blocks }: Section, drawings: ReadonlyMap<string, string>): string {
  const parts: string[] = [];
  for (let i = 0; i < blocks.length; i++) {
    const block = blocks[i]!;
    if (block.kind !== 'plot') {
      parts.push(blockHtml(block));
      continue;
    }
    // Plots that follow each other stand beside each other where there is room.
    const plots: Plot[] = [block];
    for (let next = blocks[i + 1]; next?.kind === 'plot'; next = blocks[++i + 1]) plots.push(next);
    parts.push(`<div class="plots">${plots.map(plot => plotHtml(plot, drawings.get(plot.name)!)).join('\n')}</div>`);
  }
  return `<section id="${id}"><h2>${escaped(title)}</h2>\n${parts.join('\n')}\n</section>`;
}

function blockHtml(block: Exclude<Block, Plot>): string {
  switch (block.kind) {
    case 'text':
      return block.text === '' ? '' : `<p>${escaped(block.text)}</p>`;
    case 'heading':
      return `<h3>${escaped(block.text)}</h3>`;
    case 'warning':
      return `<div class="warning" role="note"><b>Disturbed</b><ul>${block.sentences.map(words => `<li>${escaped(words)}</li>`).join('')}</ul></div>`;
    case 'folded':
      return `<details><summary>${escaped(block.summary)} <small>(${block.table.rows.length})</small></summary>${tableHtml(block.table)}</details>`;
    case 'table':
      return tableHtml(block);
  }
}

function plotHtml({ title, note }: Plot, drawing: string): string {
  return `<figure><figcaption><b>${escaped(title)}</b><span>${escaped(note)}</span></figcaption><div class="scroll" role="img" aria-label="${escaped(title)}" tabindex="0">${drawing}</div></figure>`;
}

function tableHtml({ caption, columns, rows }: Table): string {
  const kind = (i: number) =>
    columns[i]!.numeric ? ' class="number"' : columns[i]!.prose ? ` class="prose ${columns[i]!.prose}"` : '';
  const head = columns.map(({ title }, i) => `<th scope="col"${kind(i)}>${escaped(title)}</th>`).join('');
  const body = rows
    .map(row => `<tr>${row.map((cell, i) => `<td${kind(i)}>${cellHtml(cell)}</td>`).join('')}</tr>`)
    .join('\n');
  return `<div class="scroll" role="region" aria-label="${escaped(caption)}" tabindex="0"><table><caption>${escaped(caption)}</caption><thead><tr>${head}</tr></thead><tbody>
${body}
</tbody></table></div>`;
}

function cellHtml(cell: Piece | readonly Piece[]): string {
  return (Array.isArray(cell) ? (cell as readonly Piece[]) : [cell as Piece]).map(pieceHtml).join('');
}

function pieceHtml(piece: Piece): string {
  if (typeof piece === 'object' && piece.kind === 'reference')
    return `<a href="#${piece.to}">${escaped(piece.text)}</a>`;
  const { main, spread } = worded(piece);
  const words = escaped(main).replaceAll('\n', '<br />');
  return spread === '' ? words : `${words} <small>${escaped(spread)}</small>`;
}

/** Everything that the page shows, for whoever wants to compute with it; without what only one benchmark's own tools read. */
function embedded({ records, others }: Results): string {
  const all = { records: records.map(({ file, record: { more: _, ...record } }) => ({ file, record })), others };
  // Nothing in it may end the element that it stands in.
  return JSON.stringify(all).replaceAll('&', '\\u0026').replaceAll('<', '\\u003c').replaceAll('>', '\\u003e');
}

export function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

/** The report as Markdown: the same tables, and the plots as files beside it. */
import type { Block, Piece, Section, Table } from './document.ts';
import { worded } from './pieces.ts';

export function markdownPage(sections: readonly Section[]): string {
  const parts = sections.flatMap(({ title, blocks }) => [`## ${title}`, ...blocks.map(blockMarkdown)]);
  return `${['# RedLLM against DecLLM, measured', ...parts].filter(part => part !== '').join('\n\n')}\n`;
}

function blockMarkdown(block: Block): string {
  switch (block.kind) {
    case 'text':
      return escaped(block.text);
    case 'heading':
      return `### ${escaped(block.text)}`;
    case 'warning':
      return ['> **Disturbed**', ...block.sentences.map(words => `> - ${escaped(words)}`)].join('\n');
    case 'plot':
      return `**${escaped(block.title)}** (${escaped(block.note)})\n\n![${escaped(block.title)}](plots/${block.name}.svg)`;
    case 'folded':
      return `**${escaped(block.table.caption)}**\n\n${markdownTable(block.table)}`;
    case 'table':
      return `**${escaped(block.caption)}**\n\n${markdownTable(block)}`;
  }
}

export function markdownTable({ columns, rows }: Pick<Table, 'columns' | 'rows'>): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    line(columns.map(({ title }) => escaped(title))),
    line(columns.map(({ numeric }) => (numeric ? '---:' : '---'))),
    ...rows.map(row => line(row.map(cellMarkdown))),
  ].join('\n');
}

function cellMarkdown(cell: Piece | readonly Piece[]): string {
  const pieces = Array.isArray(cell) ? (cell as readonly Piece[]) : [cell as Piece];
  return pieces.map(pieceMarkdown).join('').trim();
}

function pieceMarkdown(piece: Piece): string {
  if (typeof piece === 'object' && piece.kind === 'reference') return escaped(piece.text);
  const { main, spread } = worded(piece);
  return escaped(spread === '' ? main : `${main} (${spread})`);
}

/** As text in a cell, too: what would be markup, and what would end the cell. */
function escaped(words: string): string {
  return (
    words
      .trimEnd()
      .replaceAll(/[\\`*_<>[\]|]/g, '\\$&')
      .replaceAll('\n', '<br>') + (words.endsWith('\n') ? '<br>' : words.endsWith(' ') ? ' ' : '')
  );
}

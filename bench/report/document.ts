/** The report before it is written: sections of blocks, from which the page and the Markdown are made alike. */
import type { Figure } from '../record.ts';

/** A part of a table's cell: words, or something measured. Numbers come into the report as one of these, or as labels of a record. */
export type Piece = string | Measured | Limit | Quotient | Quoted | Reference;

export interface Measured {
  readonly kind: 'measured';
  readonly metric: string;
  readonly figure: Figure;
}

/** The limit that stands in the figure, or the share of it that was reached. */
export interface Limit {
  readonly kind: 'limit' | 'share';
  readonly metric: string;
  readonly figure: Figure;
}

/** One median over another. */
export interface Quotient {
  readonly kind: 'quotient';
  readonly above: Figure;
  readonly below: Figure;
}

/** What the paper has, as the record says it. */
export interface Quoted {
  readonly kind: 'quoted';
  readonly value: number;
}

/** Another place of the report. */
export interface Reference {
  readonly kind: 'reference';
  readonly text: string;
  readonly to: string;
}

export interface Column {
  readonly title: string;
  /** Numbers stand to the right. */
  readonly numeric?: boolean;
  /** Sentences, which take several lines, or as many lines as there are things to say. */
  readonly prose?: 'narrow' | 'wide';
}

export interface Table {
  readonly kind: 'table';
  readonly caption: string;
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly (Piece | readonly Piece[])[])[];
}

/** A drawing and what it was drawn from. */
export interface Plot {
  readonly kind: 'plot';
  /** Of the file that it is written to. */
  readonly name: string;
  readonly title: string;
  /** What is to be known to read it: machine, what is the same in all points. */
  readonly note: string;
  readonly points: readonly Point[];
  /** For vega-lite; its data are the points. */
  readonly spec: object;
}

export interface Point {
  readonly x: string | number;
  readonly y: number | string;
  readonly series: string;
  readonly panel: string;
  readonly low?: number;
  readonly high?: number;
}

export type Block =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'warning'; readonly sentences: readonly string[] }
  | { readonly kind: 'heading'; readonly text: string }
  | { readonly kind: 'folded'; readonly summary: string; readonly table: Table }
  | Table
  | Plot;

export interface Section {
  readonly id: string;
  readonly title: string;
  readonly blocks: readonly Block[];
}

/** What is to be known first, then the blocks; no section where there are none. */
export function sectionOf(id: string, title: string, about: string, blocks: readonly Block[]): Section[] {
  return blocks.length === 0 ? [] : [{ id, title, blocks: [text(about), ...blocks] }];
}

export const text = (words: string): Block => ({ kind: 'text', text: words });
export const heading = (words: string): Block => ({ kind: 'heading', text: words });

export function quoted(value: number | undefined): Piece {
  return value === undefined ? '' : { kind: 'quoted', value };
}

export function measured(metric: string, figure: Figure | undefined): Piece {
  return figure === undefined ? '' : { kind: 'measured', metric, figure };
}

/** A table where it is short, else one that is opened. */
export function folded(table: Table): Block {
  return table.rows.length <= 8 ? table : { kind: 'folded', summary: table.caption, table };
}

/** Says of a run that it was disturbed, and by what; nothing where nothing was noticed. */
export function warnings(disturbed: readonly string[]): Block[] {
  return disturbed.length === 0 ? [] : [{ kind: 'warning', sentences: disturbed }];
}

export function plotsOf(sections: readonly Section[]): Plot[] {
  return sections.flatMap(({ blocks }) => blocks.filter(block => block.kind === 'plot'));
}

export function tablesOf(sections: readonly Section[]): Table[] {
  return sections.flatMap(({ blocks }) =>
    blocks.flatMap(block => (block.kind === 'folded' ? [block.table] : block.kind === 'table' ? [block] : [])),
  );
}

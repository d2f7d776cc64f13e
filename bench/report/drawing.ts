/** Plots drawn as SVG, in Node, by vega: text with its own style sheet for files, or for a page that has one. */
import * as vega from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import type { Plot } from './document.ts';

/** The colours are properties of CSS, so that one drawing serves light and dark. */
const config = {
  background: 'transparent',
  font: 'system-ui, sans-serif',
  aria: false,
  view: { stroke: null },
  axis: {
    labelColor: 'var(--ink-soft)',
    titleColor: 'var(--ink)',
    titleFontWeight: 500,
    titlePadding: 8,
    domainColor: 'var(--line)',
    tickColor: 'var(--line)',
    gridColor: 'var(--line)',
    labelFontSize: 11,
    titleFontSize: 12,
    labelLimit: 0,
  },
  legend: {
    labelColor: 'var(--ink)',
    titleColor: 'var(--ink)',
    titleFontWeight: 500,
    labelFontSize: 12,
    labelLimit: 0,
  },
  header: { labelColor: 'var(--ink)', labelFontSize: 12, labelFontWeight: 600, labelLimit: 0 },
} as const;

/**
 * Widths of text are estimated, by a canvas or not: the page's fonts are those of whoever reads it. Vega's own estimate is half as
 * wide again as they are, and its types leave this hook out.
 */
const { textMetrics } = vega as unknown as { textMetrics: { width: (item: Lettered, text: unknown) => number } };
textMetrics.width = ({ fontSize = 11, fontWeight = 400 }, text) =>
  (Number(fontWeight) > 500 ? 0.65 : 0.58) * fontSize * String(text ?? '').length;

interface Lettered {
  readonly fontSize?: number;
  readonly fontWeight?: number | string;
}

/** @returns one `svg` element   @throws Error with the plot's name, where vega warns of anything or draws nothing somewhere */
export async function draw(plot: Plot): Promise<string> {
  const said: unknown[] = [];
  // Vega leaves such points out without a word.
  for (const point of plot.points)
    if (Object.values(point).some(value => typeof value === 'number' && !Number.isFinite(value)))
      said.push(`${JSON.stringify(point)} is nowhere`);
  const quiet = vega.logger(vega.Warn);
  quiet.warn = quiet.error = (...words) => {
    said.push(...words);
    return quiet;
  };
  const compiled = compile({ ...plot.spec, config } as unknown as TopLevelSpec, { logger: quiet });
  const view = new vega.View(vega.parse(compiled.spec), { renderer: 'none', logger: quiet });
  try {
    const svg = await view.toSVG();
    if (/NaN|Infinity/.test(svg)) said.push('a coordinate is no number');
    if (said.length > 0) throw new Error(`plot ${plot.name}: ${said.join('; ')}`);
    return svg;
  } finally {
    view.finalize();
  }
}

/** What a drawing's colours are; for the page and for files of their own. */
export const colourSheet = `:root {
  --paper: #ffffff; --paper-soft: #f5f6f7; --ink: #1c2024; --ink-soft: #5b6470; --line: #dde1e6; --link: #1d5fb8;
  --series-1: #1f6fd0; --series-2: #d9591f; --series-3: #12936a; --series-4: #7a4fc9; --series-5: #a87900; --series-6: #c2397b;
  --warn-ink: #7a4100; --warn-paper: #fff3dc; --warn-line: #e8b45a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --paper-soft: #1d2125; --ink: #e8eaed; --ink-soft: #a3acb6; --line: #343a41; --link: #7db4f5;
    --series-1: #5aa2f0; --series-2: #f08550; --series-3: #3fbf91; --series-4: #a98af0; --series-5: #d3a53a; --series-6: #ec7aac;
    --warn-ink: #ffd591; --warn-paper: #33270f; --warn-line: #8a6420;
  }
}`;

/** The drawing as a file: with its colours, and a ground of its own. */
export function asFile(svg: string): string {
  return `${svg.replace('>', `><style>${colourSheet}\nsvg { background: var(--paper); }</style>`)}\n`;
}

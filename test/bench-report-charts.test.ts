/** Charts of whatever may have been measured: nothing of it may end a report, or be drawn where there is no place. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { type Axis, axisKind, dotChart, lineChart } from '../bench/report/chart.ts';
import type { Point } from '../bench/report/document.ts';
import { draw } from '../bench/report/drawing.ts';
import { wellFormed } from './fixtures/markup.ts';

const point = (x: Point['x'], y: Point['y'], more: Partial<Point> = {}): Point => ({
  x,
  y,
  series: 'a',
  panel: '',
  ...more,
});

const lines = (points: readonly Point[], kind: Axis['kind']) =>
  draw(
    lineChart(
      { name: 'tried', title: '', note: '', points },
      { title: 'x', kind },
      { title: 'y', kind: axisKind(points) },
      'series',
    ),
  );

const measured: [what: string, kind: Axis['kind'], points: readonly Point[]][] = [
  ['nothing but zeros', 'linear', [point(1, 0), point(2, 0)]],
  ['a quartile that is zero beside large values', 'log2', [point(1, 1, { low: 0, high: 9 }), point(2, 9000)]],
  ['values far apart', 'log2', [point(1, 5e12), point(1024, 1e-9)]],
  ['names', 'names', [point('150M', 1e12), point('1B', 3e14), point('none', 1)]],
  ['markup in names', 'names', [point('<a>', 1, { series: '"&' }), point('b', 2, { series: '</svg>' })]],
  [
    'more series than colours',
    'linear',
    Array.from({ length: 18 }, (_, i) => point(i % 2, i, { series: `s${i >> 1}` })),
  ],
  ['panels with nothing in common', 'linear', [point(1, 1, { panel: 'a' }), point(2, 2, { panel: 'b' })]],
];

for (const [what, kind, points] of measured)
  it(`draws ${what}`, async () => {
    const svg = await lines(points, kind);
    assert.equal(wellFormed(svg), null);
    assert.doesNotMatch(svg, /NaN|Infinity|undefined/);
  });

it('draws dots whose panels have other rows', async () => {
  const points = [point(0, 'a', { panel: 'p' }), point(5, 'b', { panel: 'q', low: 4, high: 6 })];
  const described = { name: 'tried', title: '', note: '', points };
  assert.equal(wellFormed(await draw(dotChart(described, { title: 'x', kind: 'linear' }, 'series', 1))), null);
});

it('has a logarithm where small values would vanish, and never of zero', () => {
  assert.equal(axisKind([point(1, 1), point(2, 20)]), 'linear');
  assert.equal(axisKind([point(1, 1), point(2, 30)]), 'log10');
  assert.equal(axisKind([point(1, 0), point(2, 30)]), 'linear');
  assert.equal(axisKind([point(1, 1, { low: 0, high: 2 }), point(2, 30)]), 'linear');
});

it('refuses to draw a point that is nowhere, by the name of its plot', async () => {
  await assert.rejects(lines([point(1, Number.NaN), point(2, 1)], 'log2'), /plot tried: /);
});

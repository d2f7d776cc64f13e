/**
 * The paper's probe of locality: which share of its attention a decoder gives to the tokens just behind it, [t-4, t], by position t,
 * over all heads, layers and examples; and where in the source an encoder-decoder looks, as a map.
 */
import type { DescribedModel } from '../../src/cli/models.ts';
import type { DeviceOptions } from '../../src/device.ts';
import type { Say } from '../command.ts';
import { LoneModel } from '../lone-model.ts';
import { type Cell, figure } from '../record.ts';
import { mean } from '../statistics.ts';
import { shown, type Table } from '../table.ts';
import { averaged, MapSum } from './masses.ts';
import type { Windows } from './windows.ts';

export interface Bins {
  /** Keys up to the query's own that count as near. */
  readonly near: number;
  /** Rows and columns of a map, at most. */
  readonly parts: number;
  /** Positions of a figure; 0: a sixteenth of the greatest. */
  readonly bin: number;
}

export interface CrossMap {
  readonly model: string;
  readonly prefix: number;
  readonly length: number;
  /** [part of the answer][part of the source]: shares of probability; a row sums to 1. */
  readonly map: readonly (readonly number[])[];
}

/** Decoder tokens of a step. */
const STEP = 256;

type Looked = DescribedModel & { readonly windows: Windows };

export function localities(
  models: readonly Looked[],
  where: DeviceOptions,
  bins: Bins,
  say: Say,
): { readonly device: string; readonly cells: Cell[]; readonly cross: CrossMap[] } {
  const longest = Math.max(...models.map(({ windows }) => windows.windows[0]!.length));
  const bin = bins.bin || Math.ceil(longest / 16);
  const cells: Cell[] = [];
  const cross: CrossMap[] = [];
  let device = '';
  for (const model of models) {
    const { lengths, start, windows } = model.windows;
    const prefixes = [...lengths.keys()];
    const target = longest + start.length + 1;
    const whole = model.description.spec.mask === 'prefix' ? Math.max(...prefixes) + start.length : 1;
    const sizes = { source: Math.max(...prefixes), target, step: Math.max(STEP, whole) };
    const lone = new LoneModel(model.description, model.compute, where, sizes);
    device = lone.device;
    try {
      for (const [prefix, ends] of lengths) {
        const length = ends.at(-1)!;
        const parts = Math.min(bins.parts, prefix);
        lone.native.probe({ recent: bins.near, parts });
        const map = new MapSum(bins.parts, parts);
        const near = windows.map(window => lookAt(lone, start, window.slice(0, length), prefix, map));
        const labels = { model: model.name, prefix, length };
        for (let first = 0; first < near[0]!.length; first += bin) {
          const each = near.map(shares => mean(shares.slice(first, first + bin)));
          const position = { position: first, bin };
          cells.push({
            protocol: 'locality',
            labels: { ...labels, ...position },
            figures: { near: figure('share', each) },
          });
        }
        if (model.description.spec.encoder) cross.push({ ...labels, map: map.mean() });
        say(`${model.name}, prefix ${prefix}: looked at ${windows.length} windows of ${length} tokens`);
      }
    } finally {
      lone.free();
    }
  }
  return { device, cells, cross };
}

/** Runs one window through the decoder; gives the near share of each of its tokens, and adds to the map where they look in the source. */
function lookAt(
  lone: LoneModel,
  start: readonly number[],
  window: readonly number[],
  prefix: number,
  map: MapSum,
): number[] {
  const { spec, defaults } = lone.description;
  const encoder = spec.encoder !== undefined;
  const begin = encoder ? [defaults.startToken ?? []].flat() : start;
  const tokens = [...begin, ...(encoder ? window.slice(prefix) : window)];
  const seen = spec.mask === 'prefix' ? start.length + prefix : 0;
  if (encoder) lone.encode(window.slice(0, prefix));
  else lone.plan.counts.fill(0);
  const layers = spec.decoder.layers;
  const shares: number[] = [];
  for (let index = 0; index < tokens.length; ) {
    // What sees itself in both directions is not cut.
    const part = tokens.slice(index, index + Math.max(STEP, index === 0 ? seen : 0));
    lone.runRow({ tokens: part, index, sourceLength: encoder ? prefix : 0, prefix: seen, step: 0 });
    const own = averaged(
      lone.native.read('self'),
      part.length,
      layers.map(({ self }) => self.block.heads),
    );
    shares.push(...own.map(bins => bins[1]!));
    const crossing = layers.flatMap(({ cross }) => (cross ? [cross.block.heads] : []));
    const source = averaged(lone.native.read('cross'), part.length, crossing);
    for (const [i, bins] of source.entries()) map.add((index + i) / tokens.length, bins);
    index += part.length;
  }
  return shares;
}

export function localityTable(cells: readonly Cell[]): Table {
  return cells.map(({ labels, figures }) => {
    const { median, low, high } = figures.near!;
    const { model, prefix, length, position } = labels;
    return {
      model: model!,
      prefix: prefix!,
      length: length!,
      position: position!,
      near: shown(median),
      low: shown(low),
      high: shown(high),
    };
  });
}

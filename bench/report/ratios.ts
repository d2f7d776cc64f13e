/** Architectures beside each other: ratios, which a machine's speed falls out of, and the paper's where it has any. */
import { groupBy } from '../group.ts';
import type { Ratio } from '../record.ts';
import { measured, type Piece } from './document.ts';
import { machineOf } from './machines.ts';
import { metricOf } from './metrics.ts';
import { compareValues, familyOf, protocolsOf, sizeText } from './places.ts';
import type { Stored } from './results.ts';

export interface StoredRatio extends Ratio {
  readonly stored: Stored;
  readonly machine: string;
}

/** Ratios that differ only in where in the grid they were taken; the least and the greatest stand for them. */
export interface Summary {
  readonly protocol: string;
  /** What of it, where it grows along two labels. */
  readonly grows: string;
  readonly size: string;
  readonly metric: string;
  readonly pair: string;
  readonly machine: string;
  readonly places: readonly StoredRatio[];
  readonly least: StoredRatio;
  readonly greatest: StoredRatio;
  readonly paper: number | undefined;
  readonly disturbed: boolean;
}

export function ratiosOf(records: readonly Stored[]): StoredRatio[] {
  return records.flatMap(stored =>
    stored.record.ratios.map(ratio => ({ ...ratio, stored, machine: machineOf(stored.record) })),
  );
}

export function pairOf({ above, below }: Ratio): string {
  return `${familyOf(above)} / ${familyOf(below)}`;
}

export function summarise(ratios: readonly StoredRatio[]): Summary[] {
  const alike = groupBy(ratios, ratio =>
    JSON.stringify([ratio.protocol, ratio.labels.grows, ratio.labels.size, ratio.metric, pairOf(ratio), ratio.machine]),
  );
  const summaries = [...alike.values()].map((places): Summary => {
    const sorted = places.toSorted((a, b) => a.figure.median - b.figure.median);
    const [least] = sorted as [StoredRatio];
    const { protocol, metric, machine, labels, paper } = least;
    return {
      protocol,
      grows: String(labels.grows ?? ''),
      size: labels.size === undefined ? '' : sizeText(labels.size),
      metric,
      pair: pairOf(least),
      machine,
      places,
      least,
      greatest: sorted.at(-1)!,
      paper: places.length === 1 ? paper : undefined,
      disturbed: places.some(({ stored }) => stored.record.disturbed.length > 0),
    };
  });
  const order = protocolsOf(summaries);
  return summaries.toSorted(
    (a, b) => order.indexOf(a.protocol) - order.indexOf(b.protocol) || compareValues(a.size, b.size),
  );
}

/** The one ratio; of several places the least and the greatest. */
export function rangeOf({ places, least, greatest }: Summary): Piece[] {
  const [from, to] = [least, greatest].map(({ figure }) => measured('ratio', figure)) as [Piece, Piece];
  return places.length === 1 ? [from] : [from, ' to ', to, `, ${places.length} places`];
}

/** On which side of 1 the first of a pair does better. */
export function favours(metric: string): string {
  const { better } = metricOf(metric, '');
  return better === null ? '' : better === 'higher' ? 'above 1' : 'below 1';
}

/** `length of answer`: a summary's protocol, and along what it grows. */
export function protocolText({ protocol, grows }: Summary): string {
  return grows === '' ? protocol : `${protocol} of ${grows}`;
}

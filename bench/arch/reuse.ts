/** A stream of requests of which a share brings a source that was there before, each with one answer or several. */
import type { Draw } from '../statistics.ts';
import { type Floors, type ModelShape, promptCost, stepCost } from './floors.ts';
import { type Place, warmUp } from './place.ts';
import { type Asked, type Subject, sampleOf } from './subject.ts';

export interface ReuseGrid {
  readonly source: number;
  readonly answer: number;
  readonly requests: number;
  /** Asked at a time; the next when one is done. */
  readonly batch: number;
  /** Per cent of the requests. */
  readonly repeats: readonly number[];
  readonly n: readonly number[];
}

export function reusePlaces(grid: ReuseGrid): Place[] {
  return grid.repeats.flatMap(repeat => grid.n.map(n => placeOf(grid, repeat, n)));
}

/** Whether request `i` of a stream repeats: evenly among the others, never the first. */
export const repeats = (i: number, percent: number) =>
  Math.floor(((i + 1) * percent) / 100) > Math.floor((i * percent) / 100);

function placeOf({ source, answer, requests, batch }: ReuseGrid, repeat: number, n: number): Place {
  const asked = (subject: Subject, draw: Draw): Asked[] => {
    const seen: Int32Array[] = [];
    return Array.from({ length: requests }, (_, i) => {
      if (!repeats(i, repeat)) seen.push(subject.draw(draw, source));
      return { source: repeats(i, repeat) ? seen[draw.whole(0, seen.length)]! : seen.at(-1)!, answer, n };
    });
  };
  const measure = async (subject: Subject, draw: Draw) => {
    const answered = await subject.askAll(asked(subject, draw), batch);
    const cached = answered.timings.reduce((sum, one) => sum + one.cached, 0);
    return { ...sampleOf(answered), cached_share: (100 * cached) / (requests * source) };
  };
  /** Every source once, and as many steps as answers take that always fill the batch. */
  const whole = (model: ModelShape, floors: Floors) => {
    const fresh = Array.from({ length: requests }, (_, i) => i).filter(i => !repeats(i, repeat)).length;
    const rows = batch * n;
    const one = promptCost(model, { source, sources: 1, rows: n });
    const step = stepCost(model, { source, sources: Math.min(batch, fresh), rows, answered: answer / 2 });
    const steps = (requests * n * (answer - 1)) / rows;
    return {
      seconds: fresh * floors.seconds(one) + steps * floors.seconds(step),
      because: `${fresh} prompts of ${floors.because(one)}, ${Math.round(steps)} steps of ${floors.because(step)}`,
    };
  };
  return {
    protocol: 'reuse',
    labels: { source, answer, batch, repeat, n },
    needs: { source, decoder: answer + 1, rows: batch * n, sources: batch },
    once: warmUp(measure),
    measure,
    limits: (model, floors) => {
      const { seconds, because } = whole(model, floors);
      return { tokens_per_second: { value: (requests * n * answer) / seconds, because } };
    },
    seconds: (model, floors) => whole(model, floors).seconds,
  };
}

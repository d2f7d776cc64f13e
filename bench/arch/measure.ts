/** Models take turns at every place of a protocol, in every repetition: what disturbs the machine falls on all of them. */
import type { Say } from '../command.ts';
import { Draw } from '../statistics.ts';
import type { Place, Sample } from './place.ts';
import type { Subject } from './subject.ts';

/** All that a model gave at one place. */
export interface Measurement {
  readonly place: Place;
  readonly subject: Subject;
  /** What is the same every time. */
  readonly once: Sample;
  readonly samples: readonly Sample[];
}

/**
 * @param places that all models have memory for   @param first number of the first place: no two have the same, and so no tokens
 * in common   @param between called after each repetition, when nothing runs
 */
export async function measure(
  subjects: readonly Subject[],
  places: readonly Place[],
  { repetitions, seed, first }: { repetitions: number; seed: number; first: number },
  say: Say,
  between: () => void,
): Promise<Measurement[]> {
  const measured = places.flatMap(place =>
    subjects.map(subject => ({ place, subject, once: {} as Sample, samples: [] as Sample[] })),
  );
  for (let repetition = 0; repetition <= repetitions; repetition++) {
    say(`${places[0]?.protocol}: ${repetition === 0 ? 'warm-up' : `repetition ${repetition} of ${repetitions}`}`);
    for (const [index, place] of places.entries()) {
      for (let turn = 0; turn < subjects.length; turn++) {
        // Nobody is always the first.
        const subject = subjects[(turn + repetition) % subjects.length]!;
        const mine = measured.find(one => one.place === place && one.subject === subject)!;
        // The same tokens for all of them.
        const draw = new Draw(seed * 1_000_003 + (first + index) * 1009 + repetition);
        if (repetition === 0) mine.once = await place.once(subject, draw);
        else mine.samples.push(await place.measure(subject, draw));
      }
    }
    between();
  }
  return measured;
}

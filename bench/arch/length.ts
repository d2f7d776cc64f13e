/**
 * What a longer source costs, and a longer answer, one request at a time. Of a long answer all but the last tokens are given, and
 * computed in one pass: the keys and values that the last ones see are the same as if each had been generated.
 */
import { type Floors, type ModelShape, promptCost, stepCost } from './floors.ts';
import { generationLimits } from './generation.ts';
import { type Place, warmUp } from './place.ts';

export interface LengthGrid {
  /** Of the source, with so many tokens of answer. */
  readonly sources: readonly number[];
  readonly answer: number;
  /** Of the answer, to a source of so many tokens; so many of its last tokens are generated. */
  readonly answers: readonly number[];
  readonly source: number;
  readonly generated: number;
}

export function lengthPlaces(grid: LengthGrid): Place[] {
  return [
    ...grid.sources.map(source => sourcePlace(source, grid.answer)),
    ...grid.answers.map(answer => answerPlace(grid, answer)),
  ];
}

function sourcePlace(source: number, answer: number): Place {
  const limitsOf = (model: ModelShape, floors: Floors) => generationLimits(model, floors, { source, answer, batch: 1 });
  return placeOf('source', source, answer, {
    measure: async (subject, draw) => {
      const { first, between, last } = await subject.ask({ source: subject.draw(draw, source), answer });
      return { ttft_ms: first, tpot_ms: between, e2e_ms: last };
    },
    limits: (model, floors) => {
      const { tokens_per_second: _, ...limits } = limitsOf(model, floors);
      return limits;
    },
    seconds: (model, floors) => limitsOf(model, floors).e2e_ms!.value / 1000,
  });
}

function answerPlace({ source, generated }: LengthGrid, answer: number): Place {
  const given = answer - generated;
  const lastSteps = { source, sources: 1, rows: 1, answered: answer - generated / 2 };
  return placeOf('answer', source, answer, {
    measure: async (subject, draw) => {
      const asked = { source: subject.draw(draw, source), given: subject.draw(draw, given), answer: generated };
      return { tpot_ms: (await subject.ask(asked)).between };
    },
    limits: (model, floors) => {
      const step = stepCost(model, lastSteps);
      return { tpot_ms: { value: 1000 * floors.seconds(step), because: `a step ${floors.because(step)}` } };
    },
    seconds: (model, floors) => {
      const prompt = promptCost(model, { source, sources: 1, rows: 1, given });
      return floors.seconds(prompt) + generated * floors.seconds(stepCost(model, lastSteps));
    },
  });
}

/** One request. @param grows which of the two lengths */
function placeOf(
  grows: 'source' | 'answer',
  source: number,
  answer: number,
  own: Pick<Place, 'measure' | 'limits' | 'seconds'>,
): Place {
  return {
    protocol: 'length',
    labels: { grows, source, answer },
    needs: { source, decoder: answer + 1, rows: 1, sources: 1 },
    once: warmUp(own.measure),
    ...own,
  };
}

/**
 * What a longer source costs, and a longer answer, one request at a time. Of a long answer all but the last tokens are given, and computed in
 * one pass: the keys and values that the last ones see are the same as if each had been generated.
 */
import type { Draw } from '../statistics.ts';
import { promptCost, stepCost } from './floors.ts';
import { generationLimits } from './generation.ts';
import type { Place } from './place.ts';
import type { Asked, Subject } from './subject.ts';

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
  const measure = async (subject: Subject, draw: Draw) => {
    const { first, between, last } = await subject.ask({ source: subject.draw(draw, source), answer });
    return { ttft_ms: first, tpot_ms: between, e2e_ms: last };
  };
  return {
    protocol: 'length',
    labels: { grows: 'source', source, answer },
    needs: { source, decoder: answer + 1, rows: 1, sources: 1 },
    once: async (subject, draw) => {
      await measure(subject, draw);
      return {};
    },
    measure,
    limits: (model, floors) => {
      const { tokens_per_second: _, ...limits } = generationLimits(model, floors, { source, answer, batch: 1 });
      return limits;
    },
    seconds: (model, floors) => generationLimits(model, floors, { source, answer, batch: 1 }).e2e_ms!.value / 1000,
  };
}

function answerPlace({ source, generated }: LengthGrid, answer: number): Place {
  const measure = async (subject: Subject, draw: Draw) => {
    const asked: Asked = {
      source: subject.draw(draw, source),
      given: subject.draw(draw, answer - generated),
      answer: generated,
    };
    return { tpot_ms: (await subject.ask(asked)).between };
  };
  const lastSteps = { source, sources: 1, rows: 1, answered: answer - generated / 2 };
  return {
    protocol: 'length',
    labels: { grows: 'answer', source, answer },
    needs: { source, decoder: answer + 1, rows: 1, sources: 1 },
    once: async (subject, draw) => {
      await measure(subject, draw);
      return {};
    },
    measure,
    limits: (model, floors) => {
      const step = stepCost(model, lastSteps);
      return { tpot_ms: { value: 1000 * floors.seconds(step), because: `a step ${floors.because(step)}` } };
    },
    seconds: (model, floors) => {
      const prompt = promptCost(model, { source, sources: 1, rows: 1, given: answer - generated });
      return floors.seconds(prompt) + generated * floors.seconds(stepCost(model, lastSteps));
    },
  };
}

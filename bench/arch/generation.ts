/** Answers token by token: so many requests at once, each of a source of its own. */
import type { Draw } from '../statistics.ts';
import { type Floors, type Limit, type ModelShape, promptCost, stepCost } from './floors.ts';
import type { Place, Protocol } from './place.ts';
import { type Asked, type Subject, sampleOf } from './subject.ts';

export interface GenerationGrid {
  readonly sources: readonly number[];
  readonly answers: readonly number[];
  readonly batches: readonly number[];
}

/** @param protocol the same of models of equal parameters, and of equal cost */
export function generationPlaces(protocol: Protocol, { sources, answers, batches }: GenerationGrid): Place[] {
  return sources.flatMap(source =>
    answers.flatMap(answer => batches.map(batch => placeOf(protocol, { source, answer, batch }))),
  );
}

interface Shape {
  readonly source: number;
  readonly answer: number;
  readonly batch: number;
}

function placeOf(protocol: Protocol, shape: Shape): Place {
  const { source, answer, batch } = shape;
  const asked = (subject: Subject, draw: Draw): Asked[] =>
    Array.from({ length: batch }, () => ({ source: subject.draw(draw, source), answer }));
  return {
    protocol,
    labels: { ...shape },
    needs: { source, decoder: answer + 1, rows: batch, sources: batch },
    once: async (subject, draw) => {
      await subject.askAll(asked(subject, draw));
      return { weight_bytes: subject.loaded.footprint.weightBytes, kv_bytes: subject.heldBytes(shape) };
    },
    measure: async (subject, draw) => sampleOf(await subject.askAll(asked(subject, draw))),
    limits: (model, floors) => generationLimits(model, floors, shape),
    seconds: (model, floors) => (batch * answer) / generationLimits(model, floors, shape).tokens_per_second!.value,
  };
}

/**
 * Requests that come together: even the best order gives the first token to one after the other, half of the whole prompt's time
 * later on average (and a half of one's).
 */
export function generationLimits(
  model: ModelShape,
  floors: Floors,
  { source, answer, batch }: Shape,
): Record<string, Limit> {
  const prompt = promptCost(model, { source, sources: batch, rows: batch });
  const step = stepCost(model, { source, sources: batch, rows: batch, answered: answer / 2 });
  const first = floors.seconds({ ...prompt, flop: (prompt.flop * (batch + 1)) / (2 * batch) });
  const next = floors.seconds(step);
  const rest = (answer - 1) * next;
  const whole = floors.seconds(prompt) + rest;
  const prompts = `prompts ${floors.because(prompt)}`;
  const steps = `a step ${floors.because(step)}`;
  return {
    ttft_ms: { value: 1000 * first, because: batch === 1 ? prompts : `${prompts}, one after the other` },
    tpot_ms: { value: 1000 * next, because: steps },
    e2e_ms: { value: 1000 * (first + rest), because: `${prompts}, ${answer - 1} times ${steps}` },
    tokens_per_second: { value: (batch * answer) / whole, because: `${prompts}, ${answer - 1} times ${steps}` },
  };
}

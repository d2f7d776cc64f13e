/** Beam search as a request asks for it: checked, and resolved against what the checkpoint says. */
import type { BeamParams } from '../engine/protocol.ts';
import { RedllmError } from '../errors.ts';
import type { GenerateRequest } from '../request.ts';
import type { ServedModel } from '../served-model.ts';
import { integer, number, refuse } from './checks.ts';

/** Powers of lengths that 32-bit floats can hold. */
export const LENGTH_PENALTY = { min: -10, max: 10 } as const;
export const PATIENCE = { above: 0, max: 100 } as const;

/** Fields that shape a distribution, or end an answer by its text; with the values that ask for nothing. */
const notServed: readonly (readonly [param: string, field: keyof GenerateRequest, ...harmless: unknown[]])[] = [
  ['temperature', 'temperature', 0, 1],
  ['top_k', 'topK', 0, -1],
  ['top_p', 'topP', 1],
  ['min_p', 'minP', 0],
  ['repetition_penalty', 'repetitionPenalty', 1],
  ['presence_penalty', 'presencePenalty', 0],
  ['frequency_penalty', 'frequencyPenalty', 0],
];

/**
 * null: none. The checkpoint's num_beams, length_penalty and early_stopping count where the request wants beams and says
 * nothing else; they never make beams of a request that did not ask for them.
 * @param n hypotheses that are wanted
 * @throws RedllmError `unsupported` for what does not go with beams, `invalid_value`; each with the field
 */
export function resolveBeam(request: GenerateRequest, { defaults }: ServedModel, n: number): BeamParams | null {
  const { beam } = request;
  if (beam === undefined) return null;
  for (const [param, field, ...harmless] of notServed)
    if (request[field] !== undefined && !harmless.includes(request[field])) throw unsupported(param);
  if (request.logitBias && request.logitBias.size > 0) throw unsupported('logit_bias');
  if (request.stop && request.stop.length > 0) throw unsupported('stop', ' Use stop_token_ids.');
  const width = integer('best_of', request.bestOf ?? Math.max(n, defaults.numBeams ?? n), { min: n });
  const earlyStopping = beam.earlyStopping ?? defaults.earlyStopping ?? false;
  if (typeof earlyStopping !== 'boolean' && earlyStopping !== 'never')
    throw refuse('early_stopping', 'early_stopping must be true, false or "never".');
  const patience = beam.patience === undefined ? null : number('patience', beam.patience, PATIENCE);
  if (patience !== null && Math.round(width * patience) < n)
    throw refuse(
      'patience',
      `patience of ${patience} ends the search of ${width} beams before there are ${n} answers.`,
    );
  return {
    width,
    lengthPenalty: number('length_penalty', beam.lengthPenalty ?? defaults.lengthPenalty ?? 1, LENGTH_PENALTY),
    earlyStopping,
    patience,
  };
}

function unsupported(param: string, advice = ''): RedllmError {
  return new RedllmError('unsupported', `${param} is not served together with beam search.${advice}`, { param });
}

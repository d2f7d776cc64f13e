/** The fields that ask for beam search, or for the best of several answers, under all of their names. */
import { z } from 'zod';
import { RedllmError } from '../errors.ts';
import { LENGTH_PENALTY, PATIENCE } from '../generate/beams.ts';
import { LIMITS } from '../generate/params.ts';
import type { GenerateRequest } from '../request.ts';
import { checked } from './fields.ts';

const count = z.int().min(1).max(LIMITS.answers).optional();

const earlyStopping = checked<boolean | 'never' | undefined>(value =>
  value === undefined || typeof value === 'boolean' || value === 'never'
    ? undefined
    : { message: 'must be true, false or "never"' },
);

export const beamFields = {
  use_beam_search: z.boolean().optional(),
  n: count,
  /** transformers' num_return_sequences, by CTranslate2's name: n. */
  num_hypotheses: count,
  best_of: count,
  /** CTranslate2's and transformers' names for best_of with beams. Above 1 they ask for beams by themselves. */
  beam_size: count,
  num_beams: count,
  length_penalty: z.number().min(LENGTH_PENALTY.min).max(LENGTH_PENALTY.max).optional(),
  early_stopping: earlyStopping.optional(),
  patience: z.number().gt(PATIENCE.above).max(PATIENCE.max).optional(),
};

export type BeamBody = { [K in keyof typeof beamFields]?: z.infer<(typeof beamFields)[K]> | undefined };

type Wanted = Pick<GenerateRequest, 'n' | 'bestOf' | 'beam'>;

/**
 * What those fields ask for together.
 * @throws RedllmError `invalid_value` with the field that contradicts another, or that means nothing without beams
 */
export function readBeams(body: BeamBody & { readonly stream?: boolean | undefined }): Wanted {
  const n = same(body, 'n', 'num_hypotheses');
  const named = (body.beam_size ?? 1) > 1 ? 'beam_size' : (body.num_beams ?? 1) > 1 ? 'num_beams' : null;
  const beams = body.use_beam_search ?? named !== null;
  if (!beams && named) throw wrong(named, `${named} asks for beams, but use_beam_search is false.`);
  const width = beams ? same(body, 'best_of', 'beam_size', 'num_beams') : body.best_of;
  if (width !== undefined && width < (n ?? 1))
    throw wrong('best_of', `best_of is ${width}, but must be at least n, ${n ?? 1}.`);
  const wanted = { ...(n !== undefined && { n }), ...(width !== undefined && { bestOf: width }) };
  if (!beams) {
    refuseWithoutBeams(body);
    if (body.stream && (width ?? 1) > (n ?? 1))
      throw wrong('best_of', 'best_of above n cannot be streamed: which answers are the best shows at the end.');
    return wanted;
  }
  const { length_penalty: lengthPenalty, early_stopping: stopping, patience } = body;
  const beam = {
    ...(lengthPenalty !== undefined && { lengthPenalty }),
    ...(stopping !== undefined && { earlyStopping: stopping }),
    ...(patience !== undefined && { patience }),
  };
  return { ...wanted, beam };
}

/** The one value that is given under these names. */
function same(body: BeamBody, ...names: ('n' | 'num_hypotheses' | 'best_of' | 'beam_size' | 'num_beams')[]) {
  const [first, ...others] = names.filter(name => body[name] !== undefined);
  for (const other of others)
    if (body[other] !== body[first!])
      throw wrong(other, `${other} is ${body[other]}, but ${first} is ${body[first!]}: they are one setting.`);
  return first && body[first];
}

function refuseWithoutBeams(body: BeamBody): void {
  const asked = {
    length_penalty: (body.length_penalty ?? 1) !== 1,
    early_stopping: (body.early_stopping ?? false) !== false,
    patience: (body.patience ?? 1) !== 1,
  };
  for (const [name, meant] of Object.entries(asked))
    if (meant) throw wrong(name, `${name} needs use_beam_search to be true.`);
}

function wrong(param: string, message: string): RedllmError {
  return new RedllmError('invalid_value', message, { param });
}

/** Checks of a request's values, each with the sentence and the field's name. */
import { RedllmError } from '../errors.ts';

export function refuse(param: string, message: string): RedllmError {
  return new RedllmError('invalid_value', message, { param });
}

export interface Range {
  readonly min?: number;
  readonly max?: number;
  /** The bounds themselves are excluded below. */
  readonly above?: number;
}

/** @throws RedllmError `invalid_value` unless `value` is a finite number in the range */
export function number(param: string, value: number, range: Range): number {
  const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY, above = Number.NEGATIVE_INFINITY } = range;
  if (typeof value === 'number' && Number.isFinite(value) && value >= min && value <= max && value > above)
    return value;
  throw refuse(param, `${param} must be ${describe('a number', range)}, not ${show(value)}.`);
}

/** @throws RedllmError `invalid_value` unless `value` is an integer in the range */
export function integer(param: string, value: number, range: Range): number {
  if (Number.isSafeInteger(value) && value >= (range.min ?? -Infinity) && value <= (range.max ?? Infinity))
    return value;
  throw refuse(param, `${param} must be ${describe('an integer', range)}, not ${show(value)}.`);
}

/** @throws RedllmError `invalid_value` unless all are token ids of a vocabulary of this size */
export function tokenIds(param: string, ids: readonly number[], vocabulary: number): readonly number[] {
  for (const id of ids) {
    if (Number.isInteger(id) && id >= 0 && id < vocabulary) continue;
    throw refuse(param, `${param} holds ${show(id)}, which is no token id: this model's are 0 to ${vocabulary - 1}.`);
  }
  return ids;
}

function describe(kind: string, { min, max, above }: Range): string {
  const low = above !== undefined ? `greater than ${above}` : min !== undefined ? `at least ${min}` : '';
  const high = max !== undefined ? `at most ${max}` : '';
  const bounds = [low, high].filter(bound => bound !== '').join(' and ');
  return bounds === '' ? kind : `${kind} of ${bounds}`;
}

function show(value: unknown): string {
  return typeof value === 'number' ? String(value) : JSON.stringify(value);
}

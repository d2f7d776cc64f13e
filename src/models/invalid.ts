/** How everything that reads a checkpoint complains: one sentence, with the field, tensor or file it is about. */
import { RedllmError } from '../errors.ts';

/** @param param the config field, tensor or file name at fault */
export function invalid(sentence: string, param?: string, cause?: unknown): RedllmError {
  return new RedllmError('invalid_checkpoint', sentence, {
    ...(param === undefined ? {} : { param }),
    ...(cause === undefined ? {} : { cause }),
  });
}

export function unsupported(sentence: string, param?: string): RedllmError {
  return new RedllmError('unsupported_model', sentence, param === undefined ? {} : { param });
}

/** A value out of somebody's file as it may stand in a sentence: as JSON, without control characters, at most 60 characters. */
export function shown(value: unknown): string {
  if (value !== null && typeof value === 'object') return Array.isArray(value) ? 'a list' : 'an object';
  const text = JSON.stringify(typeof value === 'string' ? value.slice(0, 80) : value) ?? String(value);
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`;
}

/** The first three of some names, for a sentence. */
export function listed(names: readonly string[]): string {
  const first = names.slice(0, 3).map(shown).join(', ');
  return names.length <= 3 ? first : `${first} and ${names.length - 3} more`;
}

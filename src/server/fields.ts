/** Zod schemas for single fields of a body, and the error for a body that does not fit. */
import { z } from 'zod';
import { complaint, type Issue } from '../complaint.ts';
import { RedllmError } from '../errors.ts';

/**
 * The body as the schema has it. Fields that are null count as absent (clients send them so), but for those in `nullable`.
 * @throws RedllmError `invalid_value` for the first thing that is wrong, with the field's path as its param
 */
export function parseBody<T>(schema: z.ZodType<T>, body: unknown, nullable: readonly string[] = []): T {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new RedllmError('invalid_value', 'The body must be a JSON object.');
  const given = Object.entries(body).filter(([name, value]) => value !== null || nullable.includes(name));
  const result = schema.safeParse(Object.fromEntries(given));
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const param = issue.path.join('.');
  throw new RedllmError('invalid_value', `${param} ${absent(body, issue) ? 'is required' : complaint(issue)}.`, {
    param,
  });
}

function absent(body: object, issue: Issue): boolean {
  if (issue.path.length !== 1) return false;
  const value = (body as Record<PropertyKey, unknown>)[issue.path[0]!];
  return value === undefined || value === null;
}

/** Text without halves of characters (`"\ud800"` is valid JSON and no text). */
export const text = z.string().refine(value => !/\p{Surrogate}/u.test(value), 'must not contain half a surrogate pair');

export const tokenId = z.int().min(0);
export const tokenIds = z.array(tokenId);
/** Text or token ids. */
export const textOrIds = z.union([text, tokenIds], 'must be a string or an array of token ids (integers from 0)');

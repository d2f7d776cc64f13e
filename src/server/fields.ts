/**
 * Zod schemas for single fields of a body, and the error for a body that does not fit.
 * Zod makes an issue for each element that is wrong, and a body holds millions: so lists are counted before zod sees their
 * elements, or looked through by hand up to the first that is wrong.
 */
import { z } from 'zod';
import { complaint, type Issue } from '../complaint.ts';
import { RedllmError } from '../errors.ts';

/** Of a body or a message: more than any API has. */
export const MOST_FIELDS = 256;

/**
 * The body as the schema has it. Fields that are null count as absent (clients send them so), but for those in `nullable`.
 * @throws RedllmError `invalid_value` for the first thing that is wrong, with the field's path as its param
 */
export function parseBody<T>(schema: z.ZodType<T>, body: unknown, nullable: readonly string[] = []): T {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new RedllmError('invalid_value', 'The body must be a JSON object.');
  if (Object.keys(body).length > MOST_FIELDS)
    throw new RedllmError('invalid_value', `The body must have at most ${MOST_FIELDS} fields.`);
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

const halfPair = 'must not contain half a surrogate pair';

/** Without halves of characters (`"\ud800"` is valid JSON and no text). */
const isWhole = (value: string) => !/\p{Surrogate}/u.test(value);

/** Text without halves of characters. */
export const text = z.string().refine(isWhole, halfPair);

/** What is wrong with a value, and where in it. */
export interface Fault {
  readonly message: string;
  readonly path?: PropertyKey[];
}

/** A value that is looked at by hand: `fault` tells the first thing that is wrong, if any. */
export const checked = <T>(fault: (value: unknown) => Fault | undefined) =>
  z.unknown().transform((value, context): T => {
    const found = fault(value);
    if (!found) return value as T;
    context.addIssue({ code: 'custom', ...found });
    return z.NEVER;
  });

/** What has at most `max` elements (or fields), which are counted before `schema` sees any. */
export const atMost = <T>(max: number, schema: z.ZodType<T>) =>
  z.preprocess((value, context) => {
    if (size(value) > max) context.addIssue({ code: 'custom', message: `must hold at most ${max} elements` });
    return value;
  }, schema);

function size(value: unknown): number {
  if (Array.isArray(value)) return value.length;
  return isObject(value) ? Object.keys(value).length : 0;
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** @returns what is wrong with it as a text */
export function textFault(value: unknown): Fault | undefined {
  if (typeof value !== 'string') return { message: 'must be a string' };
  return isWhole(value) ? undefined : { message: halfPair };
}

/** @returns the place of the first element that is no token id, or -1 */
export const wrongId = (ids: readonly unknown[]) =>
  ids.findIndex(id => !Number.isSafeInteger(id) || (id as number) < 0);

function idsFault(ids: readonly unknown[]): Fault | undefined {
  const wrong = wrongId(ids);
  return wrong < 0 ? undefined : { message: 'must be a token id (an integer from 0)', path: [wrong] };
}

export const tokenId = z.int().min(0);
export const tokenIds = checked<number[]>(value =>
  Array.isArray(value) ? idsFault(value) : { message: 'must be an array' },
);
/** Text or token ids. */
export const textOrIds = checked<string | number[]>(value => {
  if (typeof value === 'string') return textFault(value);
  if (Array.isArray(value)) return idsFault(value);
  return { message: 'must be a string or an array of token ids (integers from 0)' };
});

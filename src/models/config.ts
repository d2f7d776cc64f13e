/** Typed reading of the JSON files of a checkpoint. What it returns has been checked; what it throws names file and field. */
import { basename } from 'node:path';
import { withFile } from './files.ts';
import { invalid, shown } from './invalid.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

export interface IntegerOptions {
  /** Bounds, both included. Default: 1 to 2^31 - 1, the widest that native code can count. */
  readonly least?: number;
  readonly most?: number;
  /** Used where the field is absent or null; without it the field is required. */
  readonly or?: number;
}

export interface NumberOptions {
  /** The value must be greater than this. */
  readonly above?: number;
  readonly least?: number;
  readonly most?: number;
  readonly or?: number;
}

const mostConfigBytes = 16 << 20;

/** One JSON object. A field that is null counts as absent everywhere: transformers writes null for "not set". */
export class Config {
  private readonly raw: JsonObject;
  private readonly file: string;
  private readonly path: string;

  /**
   * @param file name of the file, for messages
   * @param path of this object inside the file, with a dot at its end; empty at the top
   */
  constructor(raw: JsonObject, file = 'config.json', path = '') {
    this.raw = raw;
    this.file = file;
    this.path = path;
  }

  /** @throws RedllmError `invalid_checkpoint` where the file cannot be read or holds anything but one JSON object */
  static async read(path: string): Promise<Config> {
    return new Config(await readJsonObject(path, mostConfigBytes), basename(path));
  }

  has(field: string): boolean {
    return this.value(field) !== undefined;
  }

  /** Whether the field stands in the file as null. */
  isNull(field: string): boolean {
    return Object.hasOwn(this.raw, field) && this.raw[field] === null;
  }

  string(field: string, or?: string): string {
    const value = this.value(field) ?? or;
    if (typeof value !== 'string') throw this.wrong(field, 'a string');
    return value;
  }

  boolean(field: string, or?: boolean): boolean {
    const value = this.value(field) ?? or;
    if (typeof value !== 'boolean') throw this.wrong(field, 'true or false');
    return value;
  }

  /** Where the field is present: true, false, or that one word. */
  booleanOr<T extends string>(field: string, word: T): boolean | T | undefined {
    const value = this.value(field);
    if (value === undefined || typeof value === 'boolean') return value;
    if (value !== word) throw this.wrong(field, `true, false or "${word}"`);
    return word;
  }

  oneOf<T extends string>(field: string, choices: readonly T[], or?: T): T {
    const value = this.value(field) ?? or;
    const choice = choices.find(one => one === value);
    if (choice === undefined) throw this.wrong(field, `one of ${choices.map(one => `"${one}"`).join(', ')}`);
    return choice;
  }

  integer(field: string, options: IntegerOptions = {}): number {
    const { least = 1, most = 2 ** 31 - 1, or } = options;
    const value = this.value(field) ?? or;
    if (!isIntegerIn(value, least, most)) throw this.wrong(field, integerPhrase(least, options.most));
    return value;
  }

  /** Any finite number within the bounds. */
  number(field: string, { above, least, most, or }: NumberOptions = {}): number {
    const value = this.value(field) ?? or;
    const fits =
      typeof value === 'number' &&
      Number.isFinite(value) &&
      (above === undefined || value > above) &&
      (least === undefined || value >= least) &&
      (most === undefined || value <= most);
    if (!fits) {
      const bounds = [
        ...(above === undefined ? [] : [`greater than ${above}`]),
        ...(least === undefined ? [] : [`at least ${least}`]),
        ...(most === undefined ? [] : [`at most ${most}`]),
      ];
      throw this.wrong(field, ['a number', bounds.join(' and ')].join(' ').trim());
    }
    return value;
  }

  /** The object under `field`, or undefined where it is absent. Its errors carry the dotted path. */
  object(field: string): Config | undefined {
    const value = this.value(field);
    if (value === undefined) return undefined;
    if (typeof value !== 'object' || Array.isArray(value)) throw this.wrong(field, 'an object');
    return new Config(value as JsonObject, this.file, `${this.path}${field}.`);
  }

  /** A token id below `vocabulary`, where the field is present. */
  token(field: string, vocabulary: number): number | undefined {
    return this.has(field) ? this.integer(field, { least: 0, most: vocabulary - 1 }) : undefined;
  }

  /** Token ids below `vocabulary`, where the field is present: one number, or a list of them. */
  tokens(field: string, vocabulary: number): readonly number[] | undefined {
    const value = this.value(field);
    if (value === undefined) return undefined;
    const ids = Array.isArray(value) ? value : [value];
    if (!ids.every(id => isIntegerIn(id, 0, vocabulary - 1))) {
      throw this.wrong(field, `a token id from 0 to ${vocabulary - 1}, or a list of them`);
    }
    return [...new Set<number>(ids)];
  }

  /** Lists of ids, where the field is present: none empty, at most `most` of them. */
  tokenLists(field: string, most: number): readonly (readonly number[])[] | undefined {
    const value = this.value(field);
    if (value === undefined) return undefined;
    const isList = (list: unknown) =>
      Array.isArray(list) && list.length > 0 && list.every(id => isIntegerIn(id, 0, 2 ** 31 - 1));
    if (!Array.isArray(value) || value.length > most || !value.every(isList))
      throw this.wrong(field, `a list of at most ${most} lists of token ids`);
    return value;
  }

  /** The error for a field whose value is of the right type and yet cannot be. @param rule what it must be, e.g. "a divisor of 8" */
  wrong(field: string, rule: string): Error {
    const name = `${this.path}${field}`;
    const value = this.value(field);
    return value === undefined
      ? invalid(`${this.file}: ${name} is missing; it must be ${rule}.`, name)
      : invalid(`${this.file}: ${name} must be ${rule}, not ${shown(value)}.`, name);
  }

  private value(field: string): unknown {
    return Object.hasOwn(this.raw, field) ? (this.raw[field] ?? undefined) : undefined;
  }
}

function isIntegerIn(value: unknown, least: number, most: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most;
}

function integerPhrase(least: number, most: number | undefined): string {
  if (most !== undefined) return `an integer from ${least} to ${most}`;
  return least === 1 ? 'a positive integer' : `an integer of at least ${least}`;
}

/**
 * A whole JSON file that must be an object.
 * @param mostBytes greatest size that is read
 * @throws RedllmError `invalid_checkpoint`, naming the file
 */
export async function readJsonObject(path: string, mostBytes: number): Promise<JsonObject> {
  return withFile(path, async (file, size) => {
    const name = basename(path);
    if (size > mostBytes) throw invalid(`${name} has ${size} bytes; at most ${mostBytes} are read.`, name);
    return parseJsonObject(await file.readFile('utf8'), name);
  });
}

/**
 * @param subject what holds the text, as the first words of a sentence
 * @param file its file, for the error's `param`
 */
export function parseJsonObject(text: string, subject: string, file = subject): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw invalid(`${subject} is not valid JSON (${shown((cause as Error).message)}).`, file, cause);
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw invalid(`${subject} must hold a JSON object, not ${shown(value)}.`, file);
  }
  return value as JsonObject;
}

/**
 * All settings of a server: one schema, four places to give them (defaults < file < environment < flags). A setting has one
 * name everywhere: `max-rows` in the file, REDLLM_MAX_ROWS in the environment, --max-rows as a flag.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { complaint } from './complaint.ts';
import { RedllmError } from './errors.ts';

const units: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
};

/** Text from a flag or the environment becomes a number; what is none stays as it is, for the schema to refuse. */
const numeric = (value: unknown) =>
  typeof value === 'string' && /^-?\d+(\.\d+)?$/.test(value.trim()) ? Number(value) : value;

const integer = (min: number, max: number) =>
  z.preprocess(numeric, z.int(`must be an integer from ${min} to ${max}`).min(min).max(max));

function toBytes(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  const [, amount, unit] = /^(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?$/i.exec(value.trim()) ?? [];
  return amount === undefined ? value : Math.floor(Number(amount) * units[(unit ?? '').toLowerCase()]!);
}

const bytes = (min: number) =>
  z.preprocess(toBytes, z.int('must be a number of bytes, such as 512MiB or 2GiB').min(min));

const seconds = z.preprocess(numeric, z.number('must be a number of seconds').min(0).max(86_400));

const texts = z.preprocess(
  value => (typeof value === 'string' ? value.split(',') : value),
  z.array(z.string().min(1), 'must be a string or an array of strings'),
);

const choice = <const T extends readonly [string, ...string[]]>(...values: T) => z.enum(values);

/** The help of each setting, with the shape of its value; its order is that of --help. */
export const settingHelp = {
  model: [
    'DIR | NAME=DIR | random:SIZE',
    'a checkpoint to serve, under its own name or another; may be repeated (default: the models in the box)',
  ],
  host: ['ADDRESS', 'address to listen at'],
  port: ['PORT', 'port to listen at; 0 takes a free one'],
  dtype: ['auto|float32|bfloat16', 'compute type; auto: bfloat16 where the checkpoint is bfloat16, else float32'],
  device: ['auto|cpu|cuda[:N]', 'where to compute; auto: the first CUDA device that can be opened, else the CPU'],
  cudaLibrary: ['FILE', 'the CUDA backend (default: libredllm_cuda.so beside the addon)'],
  isa: ['auto|plain|avx2|avx512', 'instruction set of the CPU kernels'],
  threads: ['N', 'threads that compute; 0: as many as the process may use'],
  maxBatchTokens: ['N', 'tokens (source and decoder) of one step'],
  maxRows: ['N', 'sequences in the running batch of a model'],
  kvMemory: [
    'BYTES',
    'memory for keys and values of all models (default: 2GiB; on a device 90 % of what the weights leave)',
  ],
  maxModelLen: [
    'N',
    'greatest length of a source, and of prompt and answer, in tokens (default: the checkpoint’s, or 4096)',
  ],
  maxQueue: ['N', 'requests that may wait before new ones get 429'],
  maxQueueTokens: ['N', 'source and prompt tokens that waiting requests may hold before new ones get 429'],
  apiKey: ['KEY', 'ask for this key on every route but /health; may be repeated'],
  chatTemplate: ['FILE', 'chat template (Jinja) for models that have none, or instead of theirs'],
  bodyLimit: ['BYTES', 'greatest body of a request'],
  shutdownTimeout: ['SECONDS', 'time that running requests get after SIGTERM'],
  requestTimeout: ['SECONDS', 'time that any request may take; 0: no limit'],
  logLevel: ['LEVEL', 'trace, debug, info, warn, error or silent'],
} as const satisfies Record<string, readonly [string, string]>;

export const configSchema = z.strictObject({
  model: texts.default([]),
  host: z.string().min(1).default('127.0.0.1'),
  port: integer(0, 65_535).default(8000),
  dtype: choice('auto', 'float32', 'bfloat16').default('auto'),
  device: z
    .string()
    .regex(/^(auto|cpu|cuda(:\d{1,3})?)$/, 'must be "auto", "cpu", "cuda" or "cuda:N"')
    .default('auto'),
  cudaLibrary: z.string().min(1).optional(),
  isa: choice('auto', 'plain', 'avx2', 'avx512').default('auto'),
  threads: integer(0, 1024).default(0),
  maxBatchTokens: integer(1, 1 << 20).default(2048),
  maxRows: integer(1, 4096).default(64),
  kvMemory: bytes(1).optional(),
  maxModelLen: integer(1, 1 << 24).optional(),
  maxQueue: integer(1, 1 << 20).default(512),
  maxQueueTokens: integer(1, 2 ** 40).default(2 ** 20),
  apiKey: texts.default([]),
  chatTemplate: z.string().min(1).optional(),
  bodyLimit: bytes(1024).default(8 * 2 ** 20),
  shutdownTimeout: seconds.default(30),
  requestTimeout: seconds.default(0),
  logLevel: choice('trace', 'debug', 'info', 'warn', 'error', 'silent').default('info'),
} satisfies Record<keyof typeof settingHelp, z.ZodType>);

export type Config = z.infer<typeof configSchema>;
export type Setting = keyof typeof settingHelp;

export const settings = Object.keys(settingHelp) as Setting[];

/** `maxRows` -> `max-rows`, its name for people. */
export const settingName = (setting: string) => setting.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`);

const byName = new Map(settings.map(setting => [settingName(setting), setting]));
const repeatable: readonly Setting[] = ['model', 'apiKey'];

/** Where a value came from, as its owner would name it. */
type Origins = Map<string, string>;

type FlagTypes = Record<string, { type: 'string' | 'boolean'; multiple?: boolean; short?: string }>;
export type FlagValues = Record<string, string | boolean | (string | boolean)[] | undefined>;

/** The flags of these settings, and --config, as parseFlags takes them. */
export function settingFlags(which: readonly Setting[] = settings): FlagTypes {
  const flags = which.map(
    setting => [settingName(setting), { type: 'string' as const, multiple: repeatable.includes(setting) }] as const,
  );
  return { ...Object.fromEntries(flags), config: { type: 'string' } };
}

/**
 * @param flags values of settingFlags; others among them are left alone
 * @throws RedllmError `invalid_config`, a sentence that names the flag, the variable, or the key and its file
 */
export function readConfig(flags: FlagValues, environment: Readonly<Record<string, string | undefined>>): Config {
  const file = (flags.config as string | undefined) ?? (environment.REDLLM_CONFIG || undefined);
  const merged: Record<string, unknown> = {};
  const origins: Origins = new Map();
  const layers = [
    file === undefined ? {} : readFile(file),
    Object.fromEntries(settings.map(setting => [setting, environment[variable(setting)] || undefined])),
    Object.fromEntries(settings.map(setting => [setting, flags[settingName(setting)]])),
  ];
  const names = [
    (setting: string) => `'${settingName(setting)}' in ${file}`,
    variable,
    (setting: string) => `--${settingName(setting)}`,
  ];
  for (const [index, layer] of layers.entries())
    for (const [setting, value] of Object.entries(layer)) {
      if (value === undefined) continue;
      merged[setting] = value;
      origins.set(setting, names[index]!(setting));
    }
  const result = configSchema.safeParse(merged);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const setting = String(issue.path[0]);
  const secret = setting === 'apiKey';
  const given = secret ? '' : `, not ${JSON.stringify(merged[setting])}`;
  throw new RedllmError('invalid_config', `${origins.get(setting)} ${complaint(issue)}${given}.`, {
    param: settingName(setting),
  });
}

const variable = (setting: string) => `REDLLM_${settingName(setting).replaceAll('-', '_').toUpperCase()}`;

/**
 * node:util's parseArgs, with its complaints as one sentence.
 * @throws RedllmError `invalid_config`
 */
export function parseFlags(flags: readonly string[], options: FlagTypes): FlagValues {
  try {
    return parseArgs({ args: [...flags], options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    const name = /'(-{0,2}[^' ]*)/.exec(message)?.[1] ?? '';
    if (code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION')
      throw new RedllmError('invalid_config', `There is no flag ${name}; --help lists those there are.`, {
        param: name,
      });
    if (code === 'ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL')
      throw new RedllmError('invalid_config', `'${name}' is not expected here; --help says what is.`, { param: name });
    const flag = name.split(' ')[0]!;
    if (message.includes('does not take an argument'))
      throw new RedllmError('invalid_config', `${flag} takes no value.`, { param: flag });
    throw new RedllmError(
      'invalid_config',
      `${flag} needs a value; one that begins with a dash is given as ${flag}=-1.`,
      {
        param: flag,
      },
    );
  }
}

function readFile(file: string): Record<string, unknown> {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new RedllmError(
      'invalid_config',
      `The configuration file ${file} cannot be read: ${(error as Error).message}`,
      { param: 'config' },
    );
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content))
    throw new RedllmError('invalid_config', `The configuration file ${file} must hold a JSON object.`, {
      param: 'config',
    });
  return Object.fromEntries(
    Object.entries(content).map(([name, value]) => {
      const setting = byName.get(name);
      if (!setting)
        throw new RedllmError('invalid_config', `There is no setting '${name}' (in ${file}).`, { param: name });
      return [setting, value];
    }),
  );
}

/** The settings in force, a line each, without their secrets. */
export function describeConfig(config: Config): string {
  const lines = settings.map(setting => {
    const value = config[setting];
    if (value === undefined) return undefined;
    const shown = setting === 'apiKey' ? (value as string[]).map(() => '(hidden)') : value;
    return `  ${settingName(setting)}: ${Array.isArray(shown) ? shown.join(', ') || 'none' : shown}`;
  });
  return lines.filter(line => line !== undefined).join('\n');
}

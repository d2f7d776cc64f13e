/** Flags of `bench serve`, named as `vllm bench serve` names them where it has the same, and what is made of them. */
import { readFileSync } from 'node:fs';
import { readLengths } from './lengths.ts';
import { readObjectives } from './metrics.ts';
import type { Mix, MixName } from './mix.ts';
import type { Plan } from './run.ts';

export const flags = {
  /** Of a server, or of one of its endpoints: http, https, ws or wss. */
  url: '',
  /** Empty: the server's first. */
  model: '',
  /** Asks /v1/chat/completions, where the address does not say. */
  chat: false,
  /** Measures this client against a server that does nothing: alone, or before the one of --url. */
  'null-server': false,
  'num-prompts': 100,
  /** Requests a second, `inf` for all at once; several, with commas, make a curve. */
  'request-rate': 'inf',
  /** 1: Poisson; less: in bursts; inf: evenly spaced. */
  burstiness: 1,
  /** Requests under way at most; 0: as many as there are. */
  'max-concurrency': 0,
  'num-warmups': 8,
  repetitions: 1,
  seed: 1,
  mix: 'random',
  /** `ids` or `words`; empty: ids, or words for a chat. */
  prompts: '',
  /** Token ids are drawn from 3 up to this. */
  vocabulary: 1000,
  'input-len': '256',
  'output-len': '64',
  /** Of the mix `text`: a file to cut prompts from. */
  text: '',
  /** Of the mix `sources`: 0 to 0.99. */
  duplicates: 0.5,
  /** Of the mix `prefixes`. */
  'prefix-length': 128,
  'prefix-share': 1,
  'num-prefixes': 1,
  'ignore-eos': false,
  n: 1,
  temperature: 0,
  'extra-body': '',
  /** e.g. `ttft:500 tpot:50 e2el:2000`, in milliseconds. */
  goodput: '',
  'metric-percentiles': '50,90,95,99',
  /** What the server is called in results; empty: its address. */
  label: '',
  /** Seconds that an answer may take. */
  timeout: 600,
  /** The same in the format of `vllm bench serve`; several runs are a line each. */
  'result-filename': '',
};
export type ServeFlags = typeof flags;

const mixes: readonly string[] = ['random', 'text', 'sources', 'prefixes'] satisfies MixName[];

/** `--goodput ttft:500 tpot:50`, as vLLM takes it: what follows belongs to it. */
export function prepare(args: readonly string[]): string[] {
  const prepared: string[] = [];
  for (const arg of args) {
    const before = prepared.at(-2) === '--goodput' ? prepared.length - 1 : -1;
    if (before > 0 && /^(ttft|tpot|e2el):/.test(arg)) prepared[before] += ` ${arg}`;
    else prepared.push(arg);
  }
  return prepared;
}

/** A plan for each rate. @throws Error that names the flag */
export function readPlans(given: ServeFlags, chat: boolean): Plan[] {
  const {
    'num-prompts': count,
    'max-concurrency': cap,
    'request-rate': rates,
    burstiness,
    n,
    temperature,
    'ignore-eos': ignoreEos,
  } = given;
  whole('num-prompts', count, 1);
  whole('max-concurrency', cap, 0);
  whole('n', n, 1);
  whole('num-warmups', given['num-warmups'], 0);
  whole('repetitions', given.repetitions, 1);
  if (!(given.timeout > 0)) throw new Error('--timeout must be above 0.');
  if (!(burstiness > 0)) throw new Error('--burstiness must be above 0.');
  const mix = readMix(given, chat);
  const asking = { n, ignoreEos, temperature, extra: readExtra(given['extra-body']) };
  const objectives = readObjectives(given.goodput);
  return rates.split(',').map(said => {
    const rate = said === 'inf' ? Number.POSITIVE_INFINITY : Number(said);
    if (!(rate > 0)) throw new Error(`--request-rate must be above 0, or inf, not '${said}'.`);
    return { count, rate, burstiness, cap: cap === 0 ? Number.POSITIVE_INFINITY : cap, mix, asking, objectives };
  });
}

function readMix(given: ServeFlags, chat: boolean): Mix {
  const { mix, prompts, vocabulary, text, duplicates, 'prefix-length': prefixLength } = given;
  if (!mixes.includes(mix)) throw new Error(`--mix must be one of ${mixes.join(', ')}, not '${mix}'.`);
  if (!['', 'ids', 'words'].includes(prompts)) throw new Error(`--prompts must be ids or words, not '${prompts}'.`);
  if (prompts === 'ids' && chat) throw new Error('A chat takes no token ids: --prompts must be words.');
  whole('vocabulary', vocabulary, 4);
  whole('prefix-length', prefixLength, 1);
  whole('num-prefixes', given['num-prefixes'], 1);
  if (!(duplicates >= 0 && duplicates < 1)) throw new Error('--duplicates must be at least 0 and below 1.');
  if (!(given['prefix-share'] >= 0 && given['prefix-share'] <= 1)) throw new Error('--prefix-share must be 0 to 1.');
  const words = mix === 'text' ? readFileSync(text, 'utf8').split(/\s+/).filter(Boolean) : [];
  if (mix === 'text' && words.length === 0) throw new Error(`--text ${text} has no words.`);
  return {
    name: mix as MixName,
    vocabulary: prompts === 'words' || (prompts === '' && chat) ? null : vocabulary,
    input: readLengths('input-len', given['input-len']),
    output: readLengths('output-len', given['output-len']),
    words,
    duplicates,
    prefixLength,
    prefixShare: given['prefix-share'],
    prefixes: given['num-prefixes'],
  };
}

function readExtra(said: string): Record<string, unknown> {
  if (said === '') return {};
  const wrong = new Error(`--extra-body must be a JSON object, not '${said}'.`);
  try {
    const value: unknown = JSON.parse(said);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    throw wrong;
  }
  throw wrong;
}

/** @throws Error that names the flag */
export function readPercentiles(said: string): number[] {
  return said.split(',').map(part => {
    const p = Number(part);
    if (part === '' || !(p >= 0 && p <= 100)) throw new Error(`--metric-percentiles must be 0 to 100, not '${part}'.`);
    return p;
  });
}

function whole(flag: string, value: number, least: number): void {
  if (!Number.isInteger(value) || value < least) throw new Error(`--${flag} must be a whole number from ${least}.`);
}

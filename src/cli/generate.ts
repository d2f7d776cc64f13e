/** `redllm generate`: one request, without a server. */
import { parseFlags, readConfig, type Setting, settingFlags } from '../config.ts';
import { RedllmError } from '../errors.ts';
import type { GenerateRequest, TokenLogprob, Usage } from '../request.ts';
import { bundledModels, describeModels, startModels, withDefaultModels } from './models.ts';

/** Settings of the server that make sense here. */
const engineSettings: readonly Setting[] = [
  'model',
  'dtype',
  'device',
  'cudaLibrary',
  'isa',
  'threads',
  'kvMemory',
  'maxModelLen',
  'maxBatchTokens',
];

const requestFlags = {
  prompt: ['TEXT', 'the prompt (of an encoder-decoder: the source)'],
  tokens: ['ID,ID,...', 'the prompt as token ids, taken as they are'],
  'decoder-prompt': ['TEXT', 'start of the answer (encoder-decoder)'],
  'decoder-tokens': ['ID,ID,...', 'the same as token ids'],
  'max-tokens': ['N', 'tokens to generate at most (default: as many as fit)'],
  'min-tokens': ['N', 'tokens to generate at least'],
  temperature: ['X', '0 (the default) is greedy'],
  'top-k': ['N', 'sample among the N most probable'],
  'top-p': ['X', 'sample among the most probable that make up this mass'],
  'min-p': ['X', 'sample among those of at least this share of the greatest probability'],
  'repetition-penalty': ['X', '1 is none'],
  seed: ['N', 'the same seed gives the same answer'],
  n: ['N', 'answers to generate'],
  stop: ['TEXT', 'text that ends the answer; may be repeated'],
  logprobs: ['N', 'log-probabilities with N alternatives (needs --json)'],
  'ignore-eos': ['', 'go on past the end token'],
} as const;

export const generateHelp = {
  settings: engineSettings,
  flags: { ...requestFlags, json: ['', 'print one JSON object'] },
} as const;

interface Answer {
  text: string;
  tokens: number[];
  logprobs: TokenLogprob[];
  finish_reason: string | null;
  stop_reason: string | number | null;
}

/** @throws RedllmError */
export async function generate(args: readonly string[]): Promise<void> {
  const values = parseFlags(args, {
    ...settingFlags(engineSettings),
    ...Object.fromEntries(
      Object.entries(requestFlags).map(([name, [shape]]) => [
        name,
        { type: shape === '' ? ('boolean' as const) : ('string' as const), multiple: name === 'stop' },
      ]),
    ),
    json: { type: 'boolean' },
  });
  const config = withDefaultModels(readConfig(values, process.env), bundledModels.slice(0, 1));
  if (config.model.length > 1)
    throw new RedllmError('invalid_config', 'generate takes one model: --model DIR.', { param: 'model' });
  const asked = readRequest(values);
  const json = values.json === true;
  if (asked.logprobs !== undefined && !json)
    throw new RedllmError('invalid_config', '--logprobs needs --json.', { param: 'logprobs' });
  const models = await describeModels(config);
  const running = await startModels(config, models, () => {});
  try {
    const request: GenerateRequest = { model: models[0]!.name, ...asked };
    const streams = !json && (request.n ?? 1) === 1;
    const chunks = running.generator.generate(request);
    const answers: Answer[] = [];
    let step = await chunks.next();
    for (; !step.done; step = await chunks.next()) {
      const { index, text, tokens, logprobs, finish } = step.value;
      answers[index] ??= { text: '', tokens: [], logprobs: [], finish_reason: null, stop_reason: null };
      const answer = answers[index];
      answer.text += text;
      answer.tokens.push(...tokens);
      answer.logprobs.push(...(logprobs ?? []));
      if (finish) Object.assign(answer, { finish_reason: finish.reason, stop_reason: finish.stopReason });
      if (streams) process.stdout.write(text);
    }
    if (json) printJson(request, answers, step.value);
    else if (models[0]!.description.text.tokenizer === undefined)
      for (const { tokens } of answers) process.stdout.write(`${tokens.join(',')}\n`);
    else if (streams) process.stdout.write('\n');
    else for (const { text } of answers) process.stdout.write(`${text}\n`);
  } finally {
    await running.close();
  }
}

function printJson(request: GenerateRequest, answers: readonly Answer[], usage: Usage): void {
  const choices = answers.map(({ logprobs, ...answer }, index) => ({
    index,
    ...answer,
    ...(request.logprobs !== undefined && { logprobs }),
  }));
  const counts = { prompt_tokens: usage.promptTokens, completion_tokens: usage.completionTokens };
  process.stdout.write(`${JSON.stringify({ model: request.model, choices, usage: counts })}\n`);
}

type Values = ReturnType<typeof parseFlags>;

function readRequest(values: Values): Omit<GenerateRequest, 'model'> {
  const prompt = textOrIds(values, 'prompt', 'tokens');
  if (prompt === undefined)
    throw new RedllmError('invalid_config', 'generate needs --prompt TEXT or --tokens ID,ID,...', { param: 'prompt' });
  const decoderPrompt = textOrIds(values, 'decoder-prompt', 'decoder-tokens');
  const numbers = {
    maxTokens: number(values, 'max-tokens'),
    minTokens: number(values, 'min-tokens'),
    topK: number(values, 'top-k'),
    topP: number(values, 'top-p'),
    minP: number(values, 'min-p'),
    repetitionPenalty: number(values, 'repetition-penalty'),
    seed: number(values, 'seed'),
    n: number(values, 'n'),
    logprobs: number(values, 'logprobs'),
  };
  const given = Object.entries(numbers).filter(([, value]) => value !== undefined);
  return {
    prompt,
    temperature: number(values, 'temperature') ?? 0,
    ...(Object.fromEntries(given) as { [name in keyof typeof numbers]?: number }),
    ...(decoderPrompt !== undefined && { decoderPrompt }),
    ...(values.stop !== undefined && { stop: values.stop as string[] }),
    ...(values['ignore-eos'] === true && { ignoreEos: true }),
  };
}

function number(values: Values, name: string): number | undefined {
  const value = values[name] as string | undefined;
  if (value === undefined) return undefined;
  if (value.trim() !== '' && Number.isFinite(Number(value))) return Number(value);
  throw new RedllmError('invalid_config', `--${name} must be a number, not '${value}'.`, { param: name });
}

function textOrIds(values: Values, textName: string, idsName: string): string | number[] | undefined {
  const [text, ids] = [values[textName], values[idsName]] as (string | undefined)[];
  if (text !== undefined && ids !== undefined)
    throw new RedllmError('invalid_config', `Give either --${textName} or --${idsName}.`, { param: textName });
  if (ids === undefined) return text;
  if (!/^\s*(\d+\s*(,\s*\d+\s*)*)?$/.test(ids))
    throw new RedllmError('invalid_config', `--${idsName} must be token ids with commas between them, such as 1,2,3.`, {
      param: idsName,
    });
  return ids.trim() === '' ? [] : ids.split(',').map(Number);
}

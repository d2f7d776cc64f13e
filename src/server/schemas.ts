/** What a request for text may say: the fields that completions and chat share, and those of each. */
import { z } from 'zod';
import { RedllmError } from '../errors.ts';
import { LIMITS } from '../generate/params.ts';
import type { GenerateRequest } from '../request.ts';
import { beamFields, readBeams } from './beams.ts';
import { messages } from './chat-prompt.ts';
import { atMost, checked, MOST_FIELDS, parseBody, text, textFault, textOrIds, tokenId } from './fields.ts';
import { refuseUnserved } from './refusals.ts';

const penalty = z.number().min(-2).max(2).optional();

const stop = z
  .preprocess(
    value => (typeof value === 'string' ? [value] : value),
    atMost(LIMITS.stops, z.array(text.min(1), 'must be a string or an array of strings')),
  )
  .optional();

export const priority = z.int().min(-LIMITS.priority).max(LIMITS.priority).optional();
export const cacheSalt = text.min(1).max(LIMITS.saltLength).optional();

const word = textOrIds.refine(
  value => value.length > 0 && value.length <= LIMITS.badWordLength,
  `must have 1 to ${LIMITS.badWordLength} characters or token ids`,
);

const logitBias = atMost(
  LIMITS.biases,
  z
    .record(z.string(), z.number().min(-100).max(100))
    .refine(
      bias => Object.keys(bias).every(key => /^\d{1,9}$/.test(key)),
      'must map token ids to numbers from -100 to 100',
    ),
).optional();

const shared = {
  model: z.string().min(1),
  stream: z.boolean().optional(),
  stream_options: z
    .object({ include_usage: z.boolean().nullish(), continuous_usage_stats: z.boolean().nullish() })
    .optional(),
  ...beamFields,
  max_tokens: z.int().min(1).optional(),
  min_tokens: z.int().min(0).optional(),
  temperature: z.number().min(0).optional(),
  top_p: z.number().gt(0).max(1).optional(),
  top_k: z.int().min(-1).optional(),
  min_p: z.number().min(0).max(1).optional(),
  repetition_penalty: z.number().gt(0).optional(),
  presence_penalty: penalty,
  frequency_penalty: penalty,
  logit_bias: logitBias,
  no_repeat_ngram_size: z.int().min(0).max(LIMITS.ngram).optional(),
  bad_words: atMost(LIMITS.badWords, z.array(word)).optional(),
  allowed_token_ids: atMost(LIMITS.allowedTokens, z.array(tokenId).min(1, 'must not be empty')).optional(),
  seed: z.int().optional(),
  stop,
  stop_token_ids: atMost(LIMITS.stopTokens, z.array(tokenId)).optional(),
  include_stop_str_in_output: z.boolean().optional(),
  ignore_eos: z.boolean().optional(),
  skip_special_tokens: z.boolean().optional(),
  truncate_prompt_tokens: z.int().min(1).optional(),
  add_special_tokens: z.boolean().optional(),
  prompt_logprobs: z.int().min(0).max(LIMITS.alternatives).optional(),
  return_token_ids: z.boolean().optional(),
  request_id: text.min(1).max(128).optional(),
  timeout_ms: z.int().min(1).optional(),
  priority,
  cache_salt: cacheSalt,
  decoder_prompt: textOrIds.optional(),
  forced_bos_token_id: tokenId.nullable().optional(),
  forced_eos_token_id: tokenId.nullable().optional(),
};

/** null is a value here: no forced token, even where the checkpoint has one. */
const nullable = ['forced_bos_token_id', 'forced_eos_token_id'];

/** Its elements are for parsePrompts to look at. */
const prompt = checked<string | readonly unknown[]>(value => {
  if (typeof value === 'string') return textFault(value);
  if (Array.isArray(value)) return undefined;
  return { message: 'must be a string, an array of strings, an array of token ids, or an array of such arrays' };
});

const completionSchema = z.looseObject({
  ...shared,
  max_tokens: z.int().min(0).optional(),
  prompt,
  echo: z.boolean().optional(),
  logprobs: z.int().min(0).max(LIMITS.alternatives).optional(),
});

/** What the chat template is given. */
export const chatPrompt = {
  messages,
  add_generation_prompt: z.boolean().optional(),
  continue_final_message: z.boolean().optional(),
  chat_template_kwargs: atMost(MOST_FIELDS, z.record(z.string(), z.unknown())).optional(),
};

const chatSchema = z.looseObject({
  ...shared,
  ...chatPrompt,
  max_completion_tokens: z.int().min(1).optional(),
  logprobs: z.boolean().optional(),
  top_logprobs: z.int().min(0).max(LIMITS.alternatives).optional(),
  echo: z.literal(false).optional(),
});

export type CompletionBody = z.infer<typeof completionSchema>;
export type ChatBody = z.infer<typeof chatSchema>;
export type SharedBody = Pick<CompletionBody, keyof typeof shared>;
export type ChatPromptBody = { [K in keyof typeof chatPrompt | 'add_special_tokens']?: ChatBody[K] | undefined };

/** @throws RedllmError naming the field */
export function parseCompletion(body: unknown): CompletionBody {
  const parsed = checkTogether(parseBody(completionSchema, body, nullable));
  const scored = parsed.prompt_logprobs !== undefined || scoresEcho(parsed);
  if (parsed.max_tokens === 0 && !scored)
    throw new RedllmError(
      'invalid_value',
      'max_tokens must be at least 1, or 0 with echo and logprobs or with prompt_logprobs.',
      { param: 'max_tokens' },
    );
  checkScored(parsed, scored);
  return parsed;
}

/** Whether the log-probabilities of the tokens that `echo` puts before the answer are asked for. */
export const scoresEcho = ({ echo, logprobs }: CompletionBody) => echo === true && logprobs !== undefined;

/** @throws RedllmError naming the field */
export function parseChat(body: unknown): ChatBody {
  const parsed = checkTogether(parseBody(chatSchema, body, nullable));
  if (parsed.top_logprobs !== undefined && !parsed.logprobs)
    throw new RedllmError('invalid_value', 'top_logprobs needs logprobs to be true.', { param: 'top_logprobs' });
  checkScored(parsed, parsed.prompt_logprobs !== undefined);
  return parsed;
}

/** @param scored whether log-probabilities of the prompt are asked for */
function checkScored({ n }: SharedBody, scored: boolean): void {
  if (!scored || (n ?? 1) === 1) return;
  throw new RedllmError('unsupported', `n is ${n}, but must be 1 with log-probabilities of the prompt.`, {
    param: 'n',
  });
}

/** @returns the body with n under that name */
function checkTogether<T extends SharedBody>(body: T): T {
  refuseUnserved(body);
  if (body.stream_options !== undefined && !body.stream)
    throw new RedllmError('invalid_value', 'stream_options needs stream to be true.', { param: 'stream_options' });
  return { ...body, n: readBeams(body).n };
}

/**
 * What both bodies say about one answer, in the words of GenerateRequest; fields left out stay left out.
 * @param requestTimeout milliseconds that the server allows any request; 0: no limit
 */
export function toParams(body: SharedBody, requestTimeout: number): Omit<GenerateRequest, 'prompt'> {
  const timeouts = [body.timeout_ms, requestTimeout || undefined].filter(value => value !== undefined);
  return defined({
    model: body.model,
    decoderPrompt: body.decoder_prompt,
    addSpecialTokens: body.add_special_tokens,
    truncatePrompt: body.truncate_prompt_tokens,
    ...readBeams(body),
    maxTokens: body.max_tokens,
    minTokens: body.min_tokens,
    temperature: body.temperature,
    topK: body.top_k,
    topP: body.top_p,
    minP: body.min_p,
    repetitionPenalty: body.repetition_penalty,
    presencePenalty: body.presence_penalty,
    frequencyPenalty: body.frequency_penalty,
    logitBias: body.logit_bias && new Map(Object.entries(body.logit_bias).map(([id, bias]) => [Number(id), bias])),
    noRepeatNgram: body.no_repeat_ngram_size,
    badWords: body.bad_words,
    allowedTokens: body.allowed_token_ids,
    seed: body.seed,
    promptLogprobs: body.prompt_logprobs,
    stop: body.stop,
    stopTokens: body.stop_token_ids,
    includeStop: body.include_stop_str_in_output,
    ignoreEos: body.ignore_eos,
    skipSpecialTokens: body.skip_special_tokens,
    forcedFirst: body.forced_bos_token_id,
    forcedLast: body.forced_eos_token_id,
    priority: body.priority,
    cacheSalt: body.cache_salt,
    timeout: timeouts.length > 0 ? Math.min(...timeouts) : undefined,
  });
}

type Defined<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

function defined<T extends object>(fields: T): Defined<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Defined<T>;
}

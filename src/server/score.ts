/** POST /v1/score: how probable a model finds each of some candidates after one source or prompt. */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { RedllmError } from '../errors.ts';
import { LIMITS } from '../generate/params.ts';
import { MOST_CANDIDATES } from '../generate/score.ts';
import type { CandidateScore, ScoreRequest } from '../request.ts';
import type { ServerContext, WholeCall } from './call.ts';
import { renamed } from './field-names.ts';
import { atMost, parseBody, text, textOrIds } from './fields.ts';
import { number, promptLogprobs } from './logprobs.ts';
import { refuseUnserved } from './refusals.ts';
import { cacheSalt, priority } from './schemas.ts';
import { usageObject } from './usage.ts';

const scoreBody = z.looseObject({
  model: z.string().min(1),
  source: textOrIds.optional(),
  prompt: textOrIds.optional(),
  candidates: atMost(
    MOST_CANDIDATES,
    z.array(textOrIds, 'must be an array of strings or of arrays of token ids').min(1, 'must not be empty'),
  ),
  logprobs: z.int().min(0).max(LIMITS.alternatives).optional(),
  decoder_prompt: textOrIds.optional(),
  add_special_tokens: z.boolean().optional(),
  append_eos: z.boolean().optional(),
  truncate_prompt_tokens: z.int().min(1).optional(),
  timeout_ms: z.int().min(1).optional(),
  priority,
  cache_salt: cacheSalt,
  request_id: text.min(1).max(128).optional(),
  stream: z.literal(false).optional(),
});

/** @throws RedllmError naming the field that is wrong */
export function readScore({ generator, options }: ServerContext, body: unknown, client: string | null): WholeCall {
  const fields = parseBody(scoreBody, body);
  refuseUnserved(fields);
  const model = generator.model(fields.model);
  const timeout = Math.min(fields.timeout_ms ?? Infinity, options.requestTimeout || Infinity);
  const request: ScoreRequest = {
    model: model.name,
    prompt: readSource(fields),
    candidates: fields.candidates,
    ...(fields.decoder_prompt !== undefined && { decoderPrompt: fields.decoder_prompt }),
    ...(fields.add_special_tokens !== undefined && { addSpecialTokens: fields.add_special_tokens }),
    ...(fields.append_eos !== undefined && { appendEos: fields.append_eos }),
    ...(fields.truncate_prompt_tokens !== undefined && { truncatePrompt: fields.truncate_prompt_tokens }),
    ...(fields.logprobs !== undefined && { logprobs: fields.logprobs }),
    ...(fields.priority !== undefined && { priority: fields.priority }),
    ...(fields.cache_salt !== undefined && { cacheSalt: fields.cache_salt }),
    ...(client !== null && { client }),
    ...(timeout < Infinity && { timeout }),
  };
  return {
    stream: false,
    whole: async ticket => {
      const { scores, usage } = await generator.score(request, options.parallelPrompts, ticket.signal).catch(error => {
        throw fields.source === undefined ? error : renamed(error, 'prompt', 'source');
      });
      return {
        id: `score-${fields.request_id ?? randomUUID()}`,
        object: 'list',
        created: Math.floor(Date.now() / 1000),
        model: model.name,
        data: scores.map((score, index) => scoreObject(index, score, fields.logprobs)),
        usage: usageObject(usage),
      };
    },
  };
}

/** `source` and `prompt` are two names of one thing: the one of an encoder-decoder's, the other of a decoder-only's. */
function readSource({ source, prompt }: z.infer<typeof scoreBody>): string | readonly number[] {
  if (source !== undefined && prompt !== undefined)
    throw new RedllmError('invalid_value', 'source and prompt are the same thing: give one of them.', {
      param: 'prompt',
    });
  const given = source ?? prompt;
  if (given === undefined) throw new RedllmError('invalid_value', 'source is required.', { param: 'source' });
  return given;
}

function scoreObject(index: number, { logprobs }: CandidateScore, alternatives: number | undefined) {
  const sum = logprobs.reduce((total, { logprob }) => total + logprob, 0);
  const mean = sum / logprobs.length;
  return {
    index,
    object: 'score',
    score: number(mean),
    logprob: number(sum),
    perplexity: Math.min(Math.exp(-mean), Number.MAX_VALUE),
    tokens: logprobs.map(({ token }) => token),
    token_logprobs: logprobs.map(({ logprob }) => number(logprob)),
    ...(alternatives !== undefined && { top_logprobs: promptLogprobs(logprobs, alternatives) }),
  };
}

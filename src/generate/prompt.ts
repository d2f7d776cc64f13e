/** From a request's texts and ids to the tokens that the engine takes. */
import { RedllmError } from '../errors.ts';
import type { GenerateRequest } from '../request.ts';
import type { ServedModel } from '../served-model.ts';
import type { TokenizerPool } from '../text/pool.ts';
import type { Tokenizer } from '../text/tokenizer.ts';
import { integer, refuse, tokenIds } from './checks.ts';

export interface ResolvedPrompt {
  /** null: decoder-only. */
  readonly source: readonly number[] | null;
  /** What the decoder starts from: start token and decoder prompt, or the prompt. */
  readonly tokens: readonly number[];
  /** What the answer continues: `tokens` without the server's start token. */
  readonly context: readonly number[];
  /** What the model reads, without the server's start token: the source and `context`. These count in usage. */
  readonly read: readonly number[];
}

/** @throws RedllmError `invalid_value`, `unsupported` or `context_length_exceeded`, naming prompt or decoder_prompt */
export async function resolvePrompt(
  request: GenerateRequest,
  model: ServedModel,
  pool: TokenizerPool,
): Promise<ResolvedPrompt> {
  if (request.truncatePrompt !== undefined) integer('truncate_prompt_tokens', request.truncatePrompt, { min: 1 });
  return model.spec.encoder ? sourceAndStart(request, model, pool) : promptAlone(request, model, pool);
}

async function sourceAndStart(
  request: GenerateRequest,
  model: ServedModel,
  pool: TokenizerPool,
): Promise<ResolvedPrompt> {
  const { vocabulary } = model.spec;
  const source = tokenIds('prompt', await promptIds(request, model, pool, 'head'), vocabulary.source);
  if (source.length === 0) throw refuse('prompt', 'prompt is empty: the encoder needs at least one token.');
  if (source.length > model.maxSource) throw tooLong('prompt', source.length, model.maxSource, 'source tokens');

  const given = request.decoderPrompt ?? [];
  const ids =
    typeof given === 'string'
      ? await pool.encode(needTokenizer(model, model.targetTokenizer, 'decoder_prompt'), given, {
          addSpecialTokens: false,
        })
      : given;
  const context = tokenIds('decoder_prompt', ids, vocabulary.target);
  const start = model.defaults.startToken;
  const tokens = start === undefined ? context : [start, ...context];
  if (tokens.length === 0)
    throw refuse(
      'decoder_prompt',
      `Model ${model.name} names no decoder start token, so decoder_prompt must hold one.`,
    );
  if (tokens.length >= model.maxTarget)
    throw tooLong('decoder_prompt', tokens.length, model.maxTarget - 1, 'decoder tokens before the answer');
  return { source, tokens, context, read: [...source, ...context] };
}

async function promptAlone(request: GenerateRequest, model: ServedModel, pool: TokenizerPool): Promise<ResolvedPrompt> {
  if (request.decoderPrompt !== undefined)
    throw refuse('decoder_prompt', `Model ${model.name} has no encoder; the start of its answer belongs in prompt.`);
  const tokens = tokenIds('prompt', await promptIds(request, model, pool, 'tail'), model.spec.vocabulary.target);
  if (tokens.length === 0) throw refuse('prompt', 'prompt is empty: the model needs at least one token to continue.');
  if (tokens.length >= model.maxTarget)
    throw tooLong('prompt', tokens.length, model.maxTarget - 1, 'prompt tokens (one is left for the answer)');
  return { source: null, tokens, context: tokens, read: tokens };
}

/** Ids verbatim; text by the tokenizer and its post-processor. Truncated to the request's number from `keep`. */
async function promptIds(
  request: GenerateRequest,
  model: ServedModel,
  pool: TokenizerPool,
  keep: 'head' | 'tail',
): Promise<readonly number[]> {
  const limit = request.truncatePrompt ?? Number.POSITIVE_INFINITY;
  const { prompt } = request;
  if (typeof prompt !== 'string') return cut(prompt, limit, keep);
  const tokenizer = needTokenizer(model, model.tokenizer, 'prompt');
  const special = request.addSpecialTokens ?? true;
  const ids = withStart(await pool.encode(tokenizer, prompt, { addSpecialTokens: special }), model, special);
  if (ids.length <= limit) return ids;
  // What was put around the text stays; the text is cut.
  const text = await pool.encode(tokenizer, prompt, { addSpecialTokens: false });
  const before = around(ids, text);
  const added = ids.length - text.length;
  if (before < 0 || added >= limit) return cut(ids, limit, keep);
  return [...ids.slice(0, before), ...cut(text, limit - added, keep), ...ids.slice(before + text.length)];
}

/** A family's own first token, which its tokenizer does not put there. */
function withStart(ids: readonly number[], model: ServedModel, special: boolean): readonly number[] {
  const start = model.defaults.promptStart;
  return special && start !== undefined && ids[0] !== start ? [start, ...ids] : ids;
}

function cut(ids: readonly number[], limit: number, keep: 'head' | 'tail'): readonly number[] {
  if (ids.length <= limit) return ids;
  return keep === 'head' ? ids.slice(0, limit) : ids.slice(ids.length - limit);
}

/** How many of `ids` stand before `text` in them; -1 where it is not one run of them. */
function around(ids: readonly number[], text: readonly number[]): number {
  for (let before = 0; before + text.length <= ids.length; before++)
    if (text.every((id, at) => ids[before + at] === id)) return before;
  return -1;
}

function needTokenizer(model: ServedModel, tokenizer: Tokenizer | null, param: string): Tokenizer {
  if (tokenizer) return tokenizer;
  throw new RedllmError('unsupported', `Model ${model.name} has no tokenizer; give ${param} as token ids.`, { param });
}

function tooLong(param: string, length: number, limit: number, what: string): RedllmError {
  return new RedllmError(
    'context_length_exceeded',
    `${param} has ${length} tokens, but this model takes at most ${limit} ${what}.`,
    { param },
  );
}

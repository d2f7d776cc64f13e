/** From a request's texts and ids to the tokens that the engine takes. */
import { RedllmError } from '../errors.ts';
import type { GenerateRequest } from '../request.ts';
import type { ServedModel } from '../served-model.ts';
import type { TokenizerPool } from '../text/pool.ts';
import type { Keep, Tokenizer } from '../text/tokenizer.ts';
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

/** Tokens beyond a truncation that a text is cut to, so that what the cut does to the tokens beside it does not show. */
const MARGIN = 64;

/** Tokenises in the pool, or gives up when the request does. */
type Encode = (tokenizer: Tokenizer, text: string, addSpecialTokens: boolean) => Promise<readonly number[]>;

/** How many tokens a text may have, in the words of an error, and the end of it that stays where it is truncated. */
interface Room {
  readonly most: number;
  readonly what: string;
  readonly keep: Keep;
}

/**
 * @param signal aborted when the prompt is no longer wanted; its reason is thrown
 * @throws RedllmError `invalid_value`, `unsupported` or `context_length_exceeded`, naming prompt or decoder_prompt; `queue_full`
 */
export async function resolvePrompt(
  request: GenerateRequest,
  model: ServedModel,
  pool: TokenizerPool,
  signal: AbortSignal,
): Promise<ResolvedPrompt> {
  if (request.truncatePrompt !== undefined) integer('truncate_prompt_tokens', request.truncatePrompt, { min: 1 });
  const encode: Encode = (tokenizer, text, addSpecialTokens) =>
    pool.encode(tokenizer, text, { addSpecialTokens, signal });
  return model.spec.encoder ? sourceAndStart(request, model, encode) : promptAlone(request, model, encode);
}

async function sourceAndStart(request: GenerateRequest, model: ServedModel, encode: Encode): Promise<ResolvedPrompt> {
  const { vocabulary } = model.spec;
  const room: Room = { most: model.maxSource, what: 'source tokens', keep: 'head' };
  const source = tokenIds('prompt', await promptIds(request, model, encode, room), vocabulary.source);
  if (source.length === 0) throw refuse('prompt', 'prompt is empty: the encoder needs at least one token.');
  if (source.length > room.most) throw tooLong('prompt', `${source.length} tokens`, room);

  const before: Room = { most: model.maxTarget - 1, what: 'decoder tokens before the answer', keep: 'tail' };
  const given = request.decoderPrompt ?? [];
  const ids = typeof given === 'string' ? await decoderPromptIds(given, model, encode, before) : given;
  const context = tokenIds('decoder_prompt', ids, vocabulary.target);
  const start = model.defaults.startToken;
  const tokens = start === undefined ? context : [start, ...context];
  if (tokens.length === 0)
    throw refuse(
      'decoder_prompt',
      `Model ${model.name} names no decoder start token, so decoder_prompt must hold one.`,
    );
  if (tokens.length > before.most) throw tooLong('decoder_prompt', `${tokens.length} tokens`, before);
  return { source, tokens, context, read: [...source, ...context] };
}

async function decoderPromptIds(text: string, model: ServedModel, encode: Encode, room: Room) {
  const tokenizer = needTokenizer(model, model.targetTokenizer, 'decoder_prompt');
  if (tokenizer.exceeds(text, room.most)) throw tooLong('decoder_prompt', `${text.length} characters`, room);
  return encode(tokenizer, text, false);
}

async function promptAlone(request: GenerateRequest, model: ServedModel, encode: Encode): Promise<ResolvedPrompt> {
  if (request.decoderPrompt !== undefined)
    throw refuse('decoder_prompt', `Model ${model.name} has no encoder; the start of its answer belongs in prompt.`);
  const room: Room = {
    most: model.maxTarget - 1,
    what: 'prompt tokens (one is left for the answer)',
    keep: 'tail',
  };
  const tokens = tokenIds('prompt', await promptIds(request, model, encode, room), model.spec.vocabulary.target);
  if (tokens.length === 0) throw refuse('prompt', 'prompt is empty: the model needs at least one token to continue.');
  if (tokens.length > room.most) throw tooLong('prompt', `${tokens.length} tokens`, room);
  return { source: null, tokens, context: tokens, read: tokens };
}

/** Ids verbatim; text by the tokenizer and its post-processor. Truncated to the request's number. */
async function promptIds(
  request: GenerateRequest,
  model: ServedModel,
  encode: Encode,
  room: Room,
): Promise<readonly number[]> {
  const { keep } = room;
  const limit = request.truncatePrompt ?? Number.POSITIVE_INFINITY;
  if (typeof request.prompt !== 'string') return cut(request.prompt, limit, keep);
  const tokenizer = needTokenizer(model, model.tokenizer, 'prompt');
  const special = request.addSpecialTokens ?? true;
  // Before the work: what surely does not fit, and what truncation surely takes away. A text of megabytes takes a minute.
  if (limit > room.most && tokenizer.exceeds(request.prompt, room.most))
    throw tooLong('prompt', `${request.prompt.length} characters`, room);
  const prompt = tokenizer.cut(request.prompt, limit + MARGIN, keep);
  const ids = withStart(await encode(tokenizer, prompt, special), model, special);
  if (ids.length <= limit) return ids;
  // What was put around the text stays; the text is cut.
  const text = await encode(tokenizer, prompt, false);
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

function cut(ids: readonly number[], limit: number, keep: Keep): readonly number[] {
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

function tooLong(param: string, has: string, { most, what }: Room): RedllmError {
  return new RedllmError(
    'context_length_exceeded',
    `${param} has ${has}, but this model takes at most ${most} ${what}.`,
    {
      param,
    },
  );
}

/** Which requests could never run, however long they waited: each is refused when it comes, by the field that is wrong. */
import { RedllmError } from '../errors.ts';
import { beamCandidates } from './beam-search.ts';
import {
  type ModelLimits,
  maxAllowedTokens,
  maxAlternatives,
  maxBiasEntries,
  maxCandidates,
  mebibytes,
  ngramBans,
  sequencePages,
} from './limits.ts';
import type { PageTables } from './page-tables.ts';
import { rowsOf, type SubmitMessage } from './protocol.ts';
import type { SourceCache } from './source-cache.ts';

/**
 * @param capacity pages that one request could be given, each of `pageBytes`
 * @throws RedllmError `invalid_value`, `context_length_exceeded`
 */
export function checkRequest(
  message: SubmitMessage,
  limits: ModelLimits,
  memory: { tables: PageTables; sources: SourceCache; capacity: number; pageBytes: number },
): void {
  const { source, prompt, n, params } = message;
  if (limits.encoder !== (source !== null)) {
    throw new RedllmError('invalid_value', `This model ${limits.encoder ? 'needs a' : 'takes no'} source.`, {
      param: 'prompt',
    });
  }
  if (source?.length === 0 || prompt.length === 0) {
    throw new RedllmError('invalid_value', 'The prompt has no tokens.', { param: 'prompt' });
  }
  checkTokens(message, limits);
  if (source !== null && source.length > limits.maxSource) {
    throw new RedllmError(
      'context_length_exceeded',
      `The prompt has ${source.length} tokens, but this model's source takes at most ${limits.maxSource}.`,
      { param: 'prompt' },
    );
  }
  checkScored(message);
  if (prompt.length >= limits.maxTarget + (params.maxTokens === 0 ? 1 : 0)) {
    throw new RedllmError(
      'context_length_exceeded',
      `The ${source ? 'decoder prompt' : 'prompt'} has ${prompt.length} tokens, but this model takes at most ${limits.maxTarget} of prompt and answer together.`,
      { param: source ? 'decoder_prompt' : 'prompt' },
    );
  }
  if (prompt.length + params.maxTokens > limits.maxTarget) {
    throw new RedllmError(
      'context_length_exceeded',
      `max_tokens is ${params.maxTokens} and the ${source ? 'decoder prompt' : 'prompt'} has ${prompt.length} tokens, but this model takes at most ${limits.maxTarget} together.`,
      { param: 'max_tokens' },
    );
  }
  if (!Number.isInteger(params.maxTokens) || params.maxTokens < (message.scored > 0 ? 0 : 1)) {
    throw new RedllmError('invalid_value', 'max_tokens must be a whole number of at least 1.', { param: 'max_tokens' });
  }
  if (!Number.isInteger(n) || n < 1 || n > limits.rows) {
    throw new RedllmError(
      'invalid_value',
      `n is ${n}, but must be between 1 and ${limits.rows}, the rows of a batch.`,
      {
        param: 'n',
      },
    );
  }
  checkBeam(message, limits);
  if (params.logprobs > maxAlternatives) {
    throw new RedllmError('invalid_value', `At most ${maxAlternatives} alternatives are reported with a token.`, {
      param: 'logprobs',
    });
  }
  checkBans(message, limits);
  const pages = pagesOf(message, limits, memory.tables) + (source ? memory.sources.pagesFor(source.length) : 0);
  if (pages > memory.capacity) {
    const [needed, held] = [pages, memory.capacity].map(count => mebibytes(count * memory.pageBytes));
    throw new RedllmError(
      'context_length_exceeded',
      `The request may need ${needed} of memory for keys and values (max_tokens ${params.maxTokens}, n ${n}), but the server has ${held}.`,
      { param: 'max_tokens' },
    );
  }
}

/** The first token of a prompt follows nothing, so it has no score. */
function checkScored({ scored, prompt, n, params }: SubmitMessage): void {
  const refuse = (param: string, message: string) => new RedllmError('invalid_value', message, { param });
  if (!Number.isInteger(scored) || scored < 0 || scored >= prompt.length)
    throw refuse('scored', `scored is ${scored}, but must be less than the ${prompt.length} tokens of the prompt.`);
  if (scored === 0) return;
  if (n !== 1) throw refuse('n', `n is ${n}, but must be 1 where tokens of the prompt are scored.`);
  if (params.beam !== null) throw refuse('use_beam_search', 'Tokens of the prompt are not scored in a beam search.');
  if (!(params.logprobs >= 0)) throw refuse('logprobs', 'logprobs must be at least 0 where tokens are scored.');
}

/** What a row of the plan has no room for would end the engine for everyone. */
function checkBans({ prompt, params }: SubmitMessage, limits: ModelLimits): void {
  if (params.logitBias.length + params.stopTokens.length + params.badWords.length > maxBiasEntries) {
    const message = `logit_bias, stop tokens and bad words together may have at most ${maxBiasEntries} entries.`;
    throw new RedllmError('invalid_value', message, { param: params.badWords.length > 0 ? 'bad_words' : 'logit_bias' });
  }
  if (params.badWords.some(word => word.length === 0)) {
    throw new RedllmError('invalid_value', 'Each of bad_words must have at least one token.', { param: 'bad_words' });
  }
  const allowed = params.allowedTokens?.length ?? 1;
  if (allowed < 1 || allowed > maxAllowedTokens) {
    const message = `allowed_token_ids must have 1 to ${maxAllowedTokens} tokens, not ${allowed}.`;
    throw new RedllmError('invalid_value', message, { param: 'allowed_token_ids' });
  }
  const { noRepeatNgram, maxTokens } = params;
  if (!Number.isInteger(noRepeatNgram) || noRepeatNgram < 0) {
    const message = `no_repeat_ngram_size must be a whole number from 0, not ${noRepeatNgram}.`;
    throw new RedllmError('invalid_value', message, { param: 'no_repeat_ngram_size' });
  }
  const bans = Math.min(prompt.length + maxTokens, limits.vocabulary.target);
  if (noRepeatNgram > 0 && bans > ngramBans(limits)) {
    const message = `With no_repeat_ngram_size prompt and answer together may have at most ${ngramBans(limits)} tokens here, not ${prompt.length + maxTokens}.`;
    throw new RedllmError('invalid_value', message, { param: 'no_repeat_ngram_size' });
  }
}

function checkBeam({ n, params }: SubmitMessage, { rows }: ModelLimits): void {
  if (params.beam === null) return;
  const { width } = params.beam;
  const ends = new Set(params.stopTokens).size;
  const most = Math.min(rows, Math.floor(maxCandidates / beamCandidates(1, ends)));
  if (Number.isInteger(width) && width >= n && width <= most) return;
  const because =
    most === rows ? `${rows} are the rows of a batch` : `with ${ends} end and stop tokens ${most} beams are the most`;
  throw new RedllmError('invalid_value', `best_of is ${width}, but must be between n, ${n}, and ${most}: ${because}.`, {
    param: 'best_of',
  });
}

/** Native code indexes by these: a token that is none would end the engine for everyone. */
function checkTokens({ source, prompt, params }: SubmitMessage, { vocabulary }: ModelLimits): void {
  const check = (param: string, tokens: Iterable<number>, size: number) => {
    for (const token of tokens) {
      if (Number.isInteger(token) && token >= 0 && token < size) continue;
      throw new RedllmError('invalid_value', `${param} holds ${token}, but token ids are 0 to ${size - 1}.`, { param });
    }
  };
  check('prompt', source ?? [], vocabulary.source);
  check(source ? 'decoder_prompt' : 'prompt', prompt, vocabulary.target);
  const biased = params.logitBias.map(([token]) => token);
  check('logit_bias', biased, vocabulary.target);
  check('stop_token_ids', params.stopTokens, vocabulary.target);
  for (const word of params.badWords) check('bad_words', word, vocabulary.target);
  check('allowed_token_ids', params.allowedTokens ?? [], vocabulary.target);
  if (params.forcedFirst !== null) check('forced_bos_token_id', [params.forcedFirst], vocabulary.target);
  if (params.forcedLast !== null) check('forced_eos_token_id', [params.forcedLast], vocabulary.target);
}

/** Worst case of the self pages of all sequences of a request. */
function pagesOf(message: SubmitMessage, limits: ModelLimits, tables: PageTables): number {
  return rowsOf(message) * sequencePages(message.prompt.length, message.params.maxTokens, limits, tables);
}

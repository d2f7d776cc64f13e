/** What a checkpoint says about generating: special tokens of config.json, and generation_config.json on top of them. */
import type { Config } from './config.ts';
import type { GenerationDefaults } from './spec.ts';

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** Token ids that a family's config class assumes where config.json has no such field. */
export interface AssumedTokens {
  readonly decoder_start_token_id?: number;
  readonly eos_token_id?: number;
  readonly pad_token_id?: number;
  readonly forced_eos_token_id?: number;
}

/**
 * The special tokens of config.json.
 * @param vocabulary number of target tokens; an id beyond it is an error, except for padding, which serving never feeds to a model
 */
export function specialTokens(config: Config, vocabulary: number, assumed: AssumedTokens = {}): GenerationDefaults {
  // A field that is null is a decision against the token; only an absent one is assumed.
  const fallback = (field: keyof AssumedTokens) => {
    const id = assumed[field];
    return id === undefined || id >= vocabulary || config.isNull(field) ? undefined : id;
  };
  const defaults: Writable<GenerationDefaults> = {
    endTokens: config.tokens('eos_token_id', vocabulary) ?? listOf(fallback('eos_token_id')),
  };
  set(defaults, 'startToken', config.token('decoder_start_token_id', vocabulary) ?? fallback('decoder_start_token_id'));
  set(defaults, 'padToken', paddingToken(config, vocabulary) ?? fallback('pad_token_id'));
  set(defaults, 'forcedFirst', forcedToken(config, 'forced_bos_token_id', vocabulary));
  set(
    defaults,
    'forcedLast',
    forcedToken(config, 'forced_eos_token_id', vocabulary) ?? fallback('forced_eos_token_id'),
  );
  return defaults;
}

/**
 * `base` with what generation_config.json says on top. As in transformers: unless do_sample is true the default is greedy
 * (temperature 0) and the fields that shape a distribution have no effect; the repetition penalty and the bans act on greedy decoding too.
 * A forced token that is null there is taken back. Only values that stand in the file count.
 */
export function withGenerationConfig(
  base: GenerationDefaults,
  generation: Config,
  vocabulary: number,
): GenerationDefaults {
  const merged: Writable<GenerationDefaults> = { ...base };
  set(merged, 'endTokens', generation.tokens('eos_token_id', vocabulary));
  set(merged, 'startToken', generation.token('decoder_start_token_id', vocabulary));
  set(merged, 'padToken', paddingToken(generation, vocabulary));
  if (generation.isNull('forced_bos_token_id')) delete merged.forcedFirst;
  if (generation.isNull('forced_eos_token_id')) delete merged.forcedLast;
  set(merged, 'forcedFirst', forcedToken(generation, 'forced_bos_token_id', vocabulary));
  set(merged, 'forcedLast', forcedToken(generation, 'forced_eos_token_id', vocabulary));

  const sampled = generation.boolean('do_sample', false);
  merged.temperature = sampled ? generation.number('temperature', { least: 0, or: 1 }) : 0;
  if (sampled) {
    if (generation.has('top_k')) merged.topK = generation.integer('top_k', { least: 0 });
    if (generation.has('top_p')) merged.topP = generation.number('top_p', { above: 0, most: 1 });
    if (generation.has('min_p')) merged.minP = generation.number('min_p', { least: 0, most: 1 });
  }
  if (generation.has('repetition_penalty')) {
    merged.repetitionPenalty = generation.number('repetition_penalty', { above: 0 });
  }
  if (generation.has('no_repeat_ngram_size')) {
    merged.noRepeatNgram = generation.integer('no_repeat_ngram_size', { least: 0 });
  }
  set(merged, 'badWords', badWords(generation, merged.endTokens, vocabulary));
  if (generation.has('max_new_tokens')) merged.maxNewTokens = generation.integer('max_new_tokens');
  if (generation.has('num_beams')) merged.numBeams = generation.integer('num_beams');
  if (generation.has('length_penalty')) merged.lengthPenalty = generation.number('length_penalty');
  set(merged, 'earlyStopping', generation.booleanOr('early_stopping', 'never'));
  return merged;
}

/** transformers allows a list here; more than one token to force at one place is none. */
function forcedToken(config: Config, field: string, vocabulary: number): number | undefined {
  const ids = config.tokens(field, vocabulary);
  if (ids && ids.length !== 1) throw config.wrong(field, 'one token id');
  return ids?.[0];
}

/** More than any checkpoint has, and few enough to look through at every token. */
const mostBadWords = 256;

/** Without those that can never come, as they hold an id that is no token, and, as in transformers, without the end tokens. */
function badWords(generation: Config, endTokens: readonly number[], vocabulary: number) {
  return generation
    .tokenLists('bad_words_ids', mostBadWords)
    ?.filter(word => word.every(id => id < vocabulary) && !(word.length === 1 && endTokens.includes(word[0]!)));
}

/** Real files have -1, or a padding token beyond the embedding: both mean that the model has none. */
function paddingToken(config: Config, vocabulary: number): number | undefined {
  if (!config.has('pad_token_id')) return undefined;
  const id = config.integer('pad_token_id', { least: -1 });
  return id >= 0 && id < vocabulary ? id : undefined;
}

function listOf(id: number | undefined): readonly number[] {
  return id === undefined ? [] : [id];
}

function set<T, K extends keyof T>(target: T, key: K, value: T[K] | undefined): void {
  if (value !== undefined) target[key] = value;
}

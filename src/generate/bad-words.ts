/** The token sequences that a request's bad words, or its model's, may not become. */
import { setImmediate as turn } from 'node:timers/promises';
import { RedllmError } from '../errors.ts';
import type { GenerateRequest } from '../request.ts';
import type { ServedModel } from '../served-model.ts';
import type { Tokenizer } from '../text/tokenizer.ts';
import { refuse, tokenIds } from './checks.ts';
import { LIMITS } from './params.ts';

/** Characters that are tokenised at once: more would hold up all streams. */
const CHARACTERS_A_TURN = 2048;

/**
 * As in vLLM, a word is banned as it stands alone and as it stands after a space, where that is another token of as many.
 * @param signal aborted when the words are no longer wanted; its reason is thrown
 * @throws RedllmError `invalid_value` or `unsupported` with param `bad_words`
 */
export async function resolveBadWords(
  { badWords }: GenerateRequest,
  model: ServedModel,
  signal?: AbortSignal,
): Promise<readonly (readonly number[])[]> {
  if (badWords === undefined) return model.defaults.badWords ?? [];
  if (badWords.length > LIMITS.badWords) throw refuse('bad_words', `bad_words may hold at most ${LIMITS.badWords}.`);
  const sequences: (readonly number[])[] = [];
  let characters = 0;
  for (const word of badWords) {
    if (word.length === 0 || word.length > LIMITS.badWordLength)
      throw refuse('bad_words', `Each of bad_words must have 1 to ${LIMITS.badWordLength} characters or token ids.`);
    if (typeof word !== 'string') {
      sequences.push(tokenIds('bad_words', word, model.spec.vocabulary.target));
      continue;
    }
    sequences.push(...spellings(word, needTokenizer(model)));
    characters += 2 * word.length;
    if (characters < CHARACTERS_A_TURN) continue;
    characters = 0;
    await turn();
    signal?.throwIfAborted();
  }
  // A tokenizer may know more tokens than the model, which then cannot generate them.
  return sequences.filter(ids => ids.every(id => id < model.spec.vocabulary.target));
}

function spellings(word: string, tokenizer: Tokenizer): number[][] {
  const bare = word.trimStart();
  const [alone, after] = [bare, ` ${bare}`].map(text => tokenizer.encode(text, { addSpecialTokens: false }));
  if (alone!.length === 0) throw refuse('bad_words', `bad_words holds ${JSON.stringify(word)}, which makes no token.`);
  return after!.length === alone!.length && after![0] !== alone![0] ? [alone!, after!] : [alone!];
}

function needTokenizer({ name, targetTokenizer }: ServedModel): Tokenizer {
  if (targetTokenizer) return targetTokenizer;
  throw new RedllmError('unsupported', `Model ${name} has no tokenizer; give each of bad_words as token ids.`, {
    param: 'bad_words',
  });
}

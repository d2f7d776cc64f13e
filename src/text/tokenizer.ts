/** The tokenizer of a checkpoint: `tokenizer.json` by @huggingface/tokenizers, decoded by decoder.ts. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { RedllmError } from '../errors.ts';
import { TokenDecoder } from './decoder.ts';
import { type LibraryTokenizer, library } from './library.ts';

export interface EncodeOptions {
  /** Let the post-processor add BOS, EOS or whatever the checkpoint says. Default true. */
  readonly addSpecialTokens?: boolean;
}

export interface DecodeOptions {
  /** Leave special tokens out of the text. Default true. */
  readonly skipSpecialTokens?: boolean;
}

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special?: boolean;
}

export class Tokenizer {
  /** The tokenizer.json that it was read from. */
  readonly path: string;
  /** Greatest id plus one. */
  readonly vocabularySize: number;
  /** Ids that skipSpecialTokens leaves out. */
  readonly specialIds: ReadonlySet<number>;
  readonly decoder: TokenDecoder;
  readonly #library: LibraryTokenizer;

  /**
   * @param path a tokenizer.json; a tokenizer_config.json beside it is read too where there is one
   * @throws RedllmError `invalid_checkpoint` naming the file
   */
  constructor(path: string) {
    this.path = path;
    const json = readJson(path);
    const config = readJson(join(dirname(path), 'tokenizer_config.json'), true);
    try {
      // Keys that a file may leave out, and that the library insists on.
      const absent = { added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null };
      this.#library = new library.Tokenizer({ ...absent, ...json }, config);
      this.decoder = new TokenDecoder(json.decoder);
      repairUnigram(this.#library, json.model as { byte_fallback?: boolean });
      const added = (json.added_tokens ?? []) as readonly AddedToken[];
      this.specialIds = new Set(added.filter(token => token.special === true).map(token => token.id));
      let size = 0;
      for (const id of this.#library.get_vocab().values()) size = Math.max(size, id + 1);
      this.vocabularySize = size;
    } catch (cause) {
      throw new RedllmError('invalid_checkpoint', `${path} is no tokenizer that can be used: ${reason(cause)}.`, {
        cause,
      });
    }
  }

  encode(text: string, options: EncodeOptions = {}): number[] {
    const { ids } = this.#library.encode(text, { add_special_tokens: options.addSpecialTokens ?? true });
    // A vocabulary without an unknown token has no id for what it lacks; the reference leaves that out.
    return ids.filter(id => id !== undefined);
  }

  /**
   * The whole text of these ids. Ids without a token give nothing. `clean_up_tokenization_spaces` of a
   * tokenizer_config.json is not applied: it changes spaces that a stream has already sent, and apostrophes in code.
   */
  decode(ids: readonly number[], options: DecodeOptions = {}): string {
    return this.decoder.start()(this.tokens(ids, options), true);
  }

  /** The vocabulary's strings for these ids, without those that decoding leaves out. */
  tokens(ids: readonly number[], options: DecodeOptions = {}): string[] {
    const skips = options.skipSpecialTokens ?? true;
    const tokens: string[] = [];
    for (const id of ids) {
      const token = skips && this.specialIds.has(id) ? undefined : this.#library.id_to_token(id);
      if (token !== undefined) tokens.push(token);
    }
    return tokens;
  }

  /** The bytes that this token adds in the middle of a text (a leading space included); none where it does not exist. */
  tokenBytes(id: number): Uint8Array {
    const token = this.#library.id_to_token(id);
    return token === undefined ? new Uint8Array() : this.decoder.bytes(token);
  }

  /** The token's own text, special or not; U+FFFD for what is a part of a character. */
  tokenText(id: number): string {
    return Buffer.from(this.tokenBytes(id)).toString();
  }

  /** The id of a string of the vocabulary, such as `</s>`. */
  tokenId(token: string): number | undefined {
    return this.#library.token_to_id(token);
  }
}

/**
 * Two faults of the library's Unigram: a text of many tokens without a space overflows the stack (its tokens are passed as
 * arguments), and `byte_fallback` is ignored, so that what the vocabulary lacks is lost instead of spelt in bytes.
 */
function repairUnigram({ model }: LibraryTokenizer, config: { readonly byte_fallback?: boolean }): void {
  if (!(model instanceof library.Unigram)) return;
  const known = model.tokens_to_ids;
  const spell = (piece: string): string[] => {
    if (!config.byte_fallback || known.has(piece)) return [piece];
    const bytes = Array.from(Buffer.from(piece), byte => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
    return bytes.every(byte => known.has(byte)) ? bytes : [piece];
  };
  model.encode = words => words.flatMap(word => model.tokenize(word).flatMap(spell));
}

/** @throws RedllmError `invalid_checkpoint` naming the file */
export function readJson(path: string, optional = false): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    if (optional && (cause as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new RedllmError('invalid_checkpoint', `${path} cannot be read: ${reason(cause)}.`, { cause });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new RedllmError('invalid_checkpoint', `${path} is not valid JSON: ${reason(cause)}.`, { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new RedllmError('invalid_checkpoint', `${path} must hold a JSON object.`);
  return value as Record<string, unknown>;
}

/** What was thrown, as the end of a sentence on one line. */
export function reason(thrown: unknown): string {
  return (thrown instanceof Error ? thrown.message : String(thrown)).replace(/\s+/g, ' ').replace(/[.\s]+$/, '');
}

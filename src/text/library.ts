/**
 * What is used of @huggingface/tokenizers, with types: its own name files without their extensions, so that they do not
 * resolve in an ES module and everything would be `any`.
 */
import * as untyped from '@huggingface/tokenizers';

export interface LibraryTokenizer {
  readonly model: object;
  encode(text: string, options: { add_special_tokens: boolean }): { readonly ids: (number | undefined)[] };
  id_to_token(id: number): string | undefined;
  token_to_id(token: string): number | undefined;
  get_vocab(): Map<string, number>;
}

export interface UnigramModel {
  readonly tokens_to_ids: ReadonlyMap<string, number>;
  /** The tokens of one word. */
  tokenize(word: string): string[];
  encode(words: string[]): string[];
}

interface Library {
  readonly Tokenizer: new (tokenizer: object, config: object) => LibraryTokenizer;
  readonly Unigram: new (config: object) => UnigramModel;
  readonly ReplaceDecoder: new (config: object) => { decode_chain(tokens: readonly string[]): string[] };
}

export const library: Library = untyped as unknown as Library;

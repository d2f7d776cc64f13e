/** The tokenizer of a checkpoint: `tokenizer.json` by @huggingface/tokenizers, decoded by decoder.ts. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { RedllmError } from '../errors.ts';
import { TokenDecoder } from './decoder.ts';
import { type LibraryTokenizer, library } from './library.ts';

export interface EncodeOptions {
  /** Let the post-processor add BOS, EOS or whatever the checkpoint says. Default true. */
  readonly addSpecialTokens?: boolean;
  /** Asked between words: true ends the work with an error. */
  readonly stopped?: () => boolean;
}

/** Which end of a text is kept when it is too long. */
export type Keep = 'head' | 'tail';

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
  readonly #floor: TokenFloor | undefined;
  #stopped: (() => boolean) | undefined;

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
      this.#letStop();
      const added = (json.added_tokens ?? []) as readonly AddedToken[];
      this.specialIds = new Set(added.filter(token => token.special === true).map(token => token.id));
      const vocabulary = this.#library.get_vocab();
      let size = 0;
      for (const id of vocabulary.values()) size = Math.max(size, id + 1);
      this.vocabularySize = size;
      this.#floor = TokenFloor.of(json, config, this.#library, [...vocabulary.keys()]);
    } catch (cause) {
      throw new RedllmError('invalid_checkpoint', `${path} is no tokenizer that can be used: ${reason(cause)}.`, {
        cause,
      });
    }
  }

  /** @throws RedllmError `cancelled` once `stopped` says so */
  encode(text: string, options: EncodeOptions = {}): number[] {
    this.#stopped = options.stopped;
    try {
      const { ids } = this.#library.encode(text, { add_special_tokens: options.addSpecialTokens ?? true });
      // A vocabulary without an unknown token has no id for what it lacks; the reference leaves that out.
      return ids.filter(id => id !== undefined);
    } finally {
      this.#stopped = undefined;
    }
  }

  /** Whether the text surely makes more than so many tokens, found without tokenising it. False says nothing. */
  exceeds(text: string, tokens: number): boolean {
    return this.#floor?.reach(text, tokens, 'head') !== undefined;
  }

  /** A part of the text from this end that surely makes more than so many tokens; all of it where no such part is known. */
  cut(text: string, tokens: number, keep: Keep): string {
    const reach = this.#floor?.reach(text, tokens, keep);
    return reach === undefined ? text : cutAtSpace(text, reach, keep);
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

  /** The library takes all words in one call; word by word a long text can be given up. */
  #letStop(): void {
    const model = this.#library.model as { encode(words: string[]): string[] };
    const encode = model.encode.bind(model);
    model.encode = words =>
      words.flatMap(word => {
        if (this.#stopped?.()) throw new RedllmError('cancelled', 'The text is no longer wanted.');
        return encode([word]);
      });
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

/** The part of the text from this end up to `reach`, or to the space that soon follows, so that no word is cut in two. */
function cutAtSpace(text: string, reach: number, keep: Keep): string {
  if (keep === 'head') {
    const space = text.slice(reach, reach + 1024).search(/\s/);
    return text.slice(0, reach + Math.max(space, 0));
  }
  const start = text.length - reach;
  const before = text.slice(Math.max(start - 1024, 0), start);
  const space = /\s\S*$/.exec(before);
  return text.slice(space ? start - (before.length - space.index) : start);
}

interface Step {
  readonly type: string;
  readonly [key: string]: unknown;
}

/** Steps that leave letters, digits and ASCII punctuation where they are, or split texts without losing any. */
const harmless = new Set(
  `NFC NFD NFKC NFKD Precompiled Strip StripAccents Lowercase Prepend BertNormalizer Whitespace WhitespaceSplit
  BertPreTokenizer Metaspace ByteLevel Punctuation Digits FixedLength`.split(/\s+/),
);
const someSpaces = /^(?:[ ▁]|\\[snrt])(?:[+*]|\{\d+,?\d*\})?$/;

function keepsCharacters(step: Step | null | undefined): boolean {
  if (!step) return true;
  const pattern = step.pattern as { String?: string; Regex?: string } | undefined;
  if (step.type === 'Sequence')
    return ((step.normalizers ?? step.pretokenizers ?? []) as readonly Step[]).every(keepsCharacters);
  if (step.type === 'Replace')
    return step.content !== '' && (/^[ ▁]+$/.test(pattern?.String ?? '') || someSpaces.test(pattern?.Regex ?? ''));
  if (step.type === 'Split') return !step.invert && String(step.behavior).toLowerCase() !== 'removed';
  return harmless.has(step.type);
}

/**
 * How many tokens a text has at least. Spaces may be collapsed, control characters removed, marks composed, and a run of
 * what the vocabulary lacks becomes one token; but a letter, digit or ASCII punctuation mark that no normalizer changes,
 * that the vocabulary has, and that no mark follows, reaches the model as itself: a token spells no more of them than the
 * longest one.
 */
class TokenFloor {
  readonly #longest: number;
  readonly #has: (character: string) => boolean;
  readonly #form: 'NFKC' | 'NFKD';
  /** By UTF-16 unit: 0: not looked at yet, 1: counts, 2: does not. */
  readonly #kinds = new Uint8Array(1 << 16);

  private constructor(longest: number, has: (character: string) => boolean, form: 'NFKC' | 'NFKD') {
    this.#longest = longest;
    this.#has = has;
    this.#form = form;
  }

  /** Undefined for tokenizers of which nothing is sure. */
  static of(
    json: Record<string, unknown>,
    config: object,
    library: LibraryTokenizer,
    vocabulary: readonly (string | undefined)[],
  ): TokenFloor | undefined {
    const steps = [json.normalizer, json.pre_tokenizer] as readonly Step[];
    const model = json.model as Step;
    const known = (model.type === 'BPE' || model.type === 'Unigram') && !model.continuing_subword_suffix;
    if (!known || !steps.every(keepsCharacters)) return undefined;
    const unknown = model.type === 'BPE' ? library.token_to_id(String(model.unk_token)) : model.unk_id;
    const suffix = String(model.end_of_word_suffix ?? '');
    const given = (token: string) => ![undefined, unknown].includes(library.token_to_id(token));
    const every = (tokens: readonly string[]) => tokens.every(given);
    const bytes = Array.from({ length: 256 }, (_, byte) => byte);
    const spelt = bytes.map(byte => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
    const fallsBack = model.byte_fallback === true && every(spelt);
    const byteLevel = JSON.stringify(steps).includes('"ByteLevel"');
    const unprintable = bytes.slice(0, 68).map(byte => String.fromCharCode(256 + byte));
    const printable = bytes.filter(byte => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173));
    const allBytes = byteLevel && every([...unprintable, ...printable.map(byte => String.fromCharCode(byte))]);
    const has = (character: string) =>
      fallsBack || (byteLevel && character > '~' ? allBytes : given(character) && given(character + suffix));
    let longest = 1;
    // Ġ and Ċ are the space and the line break of byte-level vocabularies; elsewhere they are decomposed or lengthen this.
    for (const token of vocabulary)
      if (token !== undefined && token.length > longest)
        longest = Math.max(longest, token.replace(/[\s▁ĠĊ]/g, '').length);
    for (const { content } of (json.added_tokens ?? []) as readonly AddedToken[])
      longest = Math.max(longest, content.normalize('NFKD').length);
    const decomposes = /"(?:NFD|NFKD|StripAccents|BertNormalizer)"|"do_lowercase_and_remove_accent":true/;
    return new TokenFloor(longest, has, decomposes.test(JSON.stringify([steps, config])) ? 'NFKD' : 'NFKC');
  }

  /** UTF-16 units from this end that surely make more than so many tokens; undefined where perhaps not even all do. */
  reach(text: string, tokens: number, keep: Keep): number | undefined {
    const enough = tokens * this.#longest;
    let counted = 0;
    for (let taken = 1; text.length > enough && taken <= text.length; taken++)
      if (this.#counts(text, keep === 'head' ? taken - 1 : text.length - taken) && ++counted > enough) return taken;
    return undefined;
  }

  #counts(text: string, at: number): boolean {
    if (this.#kind(text.charCodeAt(at)) !== 1) return false;
    const next = text.charCodeAt(at + 1);
    return at + 1 === text.length || next === 10 || (next >= 32 && next < 127) || this.#kind(next) === 1;
  }

  #kind(code: number): number {
    this.#kinds[code] ||= this.#stays(String.fromCharCode(code)) ? 1 : 2;
    return this.#kinds[code]!;
  }

  #stays(character: string): boolean {
    const lower = character.toLowerCase();
    // Jamo are composed like marks.
    const plain = /[!-~]|(?![\u1100-\u11ff\ua960-\ua97f\ud7b0-\ud7ff])[\p{L}\p{N}]/u.test(character);
    const same = (one: string) => one.length === 1 && one.normalize(this.#form) === one && this.#has(one);
    return plain && same(character) && same(lower);
  }
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

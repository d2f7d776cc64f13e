/**
 * From tokens to text, as the `decoder` of a tokenizer.json says: a chain of steps, each a stream of its own, so that a
 * whole answer and one that arrives token by token go through the same code and give the same text.
 *
 * The library's decoders only take whole answers, and differ from the reference implementation (Rust `tokenizers`) where
 * it shows: ByteFallback drops U+FEFF; ByteLevel turns what is not in its table into zero bytes, and searches all added
 * tokens for each token; Metaspace ignores `prepend_scheme: never`. We differ from the reference in one thing: a run of
 * bytes that is not UTF-8 gives U+FFFD for what is broken alone, not for the whole run, for a stream cannot take text back.
 */
import { library } from './library.ts';

/** Takes the next tokens and returns what they are after this step; `last`: nothing follows, what was held back is due. */
type Stream = (tokens: readonly string[], last: boolean) => readonly string[];

interface Step {
  start(): Stream;
  /** What one token gives in mid-text; bytes where it may be a part of a character. */
  piece(token: string): string | Uint8Array;
  /** After it the text is one run, so that the steps that follow see pieces of one token. */
  readonly fuses?: true;
}

interface StepConfig {
  readonly type: string;
  readonly [key: string]: unknown;
}

export class TokenDecoder {
  readonly #steps: readonly Step[];

  /**
   * @param config `decoder` of a tokenizer.json; null: tokens are joined by spaces, as the reference does
   * @throws Error naming a decoder that is not known, or not known in that place
   */
  constructor(config: unknown) {
    this.#steps = config === null || config === undefined ? [joined()] : createSteps([config as StepConfig]);
  }

  /** A new text: call it with tokens as they come; what it returns never ends in a part of a character unless `last`. */
  start(): (tokens: readonly string[], last: boolean) => string {
    const streams = this.#steps.map(step => step.start());
    return (tokens, last) => streams.reduce((given, stream) => stream(given, last), tokens).join('');
  }

  /** The bytes that a token adds in the middle of a text. */
  bytes(token: string): Uint8Array {
    let piece: string | Uint8Array = token;
    for (const step of this.#steps) if (typeof piece === 'string') piece = step.piece(piece);
    return typeof piece === 'string' ? Buffer.from(piece) : piece;
  }
}

function createSteps(configs: readonly StepConfig[]): Step[] {
  const steps: Step[] = [];
  const add = (config: StepConfig): void => {
    if (config.type === 'Sequence') (config.decoders as StepConfig[]).forEach(add);
    else
      steps.push(
        createStep(
          config,
          steps.some(step => step.fuses),
        ),
      );
  };
  configs.forEach(add);
  return steps;
}

function createStep(config: StepConfig, fused: boolean): Step {
  switch (config.type) {
    case 'Fuse':
      return { start: () => tokens => [tokens.join('')], piece: token => token, fuses: true };
    case 'Strip':
      return strip(String(config.content), Number(config.start ?? 0), Number(config.stop ?? 0), fused);
    case 'Replace':
      if (!fused || (config.pattern as { String?: string }).String?.length === 1) return replace(config);
      break;
    case 'ByteFallback':
      if (!fused) return byteFallback();
      break;
    case 'ByteLevel':
      if (!fused) return byteLevel();
      break;
    case 'Metaspace':
      if (!fused) return metaspace(String(config.replacement ?? '▁'), config.prepend_scheme !== 'never');
      break;
    case 'WordPiece':
      if (!fused) return wordPiece(String(config.prefix ?? '##'), config.cleanup !== false);
      break;
    case 'BPEDecoder':
      if (!fused) return wordSuffix(String(config.suffix ?? '</w>'));
      break;
    default:
      throw new Error(`its decoder "${config.type}" is not known`);
  }
  throw new Error(`its decoder "${config.type}" stands after one that fuses the tokens, which is not supported`);
}

/** A step that treats each token by itself. */
function each(piece: (token: string) => string): Step {
  return { start: () => tokens => tokens.map(piece), piece };
}

/** A step that treats the first token of a text in another way. */
function firstApart(first: (token: string) => string, piece: (token: string) => string): Step {
  return {
    start: () => {
      let begun = false;
      return tokens =>
        tokens.map(token => {
          if (begun) return piece(token);
          begun = true;
          return first(token);
        });
    },
    piece,
  };
}

function joined(): Step {
  return firstApart(
    token => token,
    token => ` ${token}`,
  );
}

function replace(config: StepConfig): Step {
  const text = (config.pattern as { String?: string }).String;
  const content = String(config.content ?? '');
  if (text !== undefined) return each(token => token.replaceAll(text, () => content));
  // The library translates the pattern's Oniguruma syntax; but it takes "$" in the content for JavaScript's.
  const replacer = new library.ReplaceDecoder({ ...config, content: content.replaceAll('$', '$$$$') });
  return each(token => replacer.decode_chain([token]).join(''));
}

function metaspace(mark: string, stripsFirst: boolean): Step {
  const piece = (token: string) => token.replaceAll(mark, ' ');
  return stripsFirst ? firstApart(token => token.replaceAll(mark, ''), piece) : each(piece);
}

function wordPiece(prefix: string, cleans: boolean): Step {
  const clean = (token: string) =>
    cleans ? token.replace(/ ([.?!,]|n't|'m|'s|'ve|'re)/g, '$1').replaceAll(" ' ", "'") : token;
  return firstApart(clean, token => clean(token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`));
}

/** The suffix that ends a word is a space, but at the end of the text. */
function wordSuffix(suffix: string): Step {
  return {
    start: () => {
      let held: string | undefined;
      return (tokens, last) => {
        const all = held === undefined ? tokens : [held, ...tokens];
        held = last ? undefined : all.at(-1);
        const ended = last ? all.slice(-1).map(token => token.replaceAll(suffix, '')) : [];
        return [...all.slice(0, -1).map(token => token.replaceAll(suffix, ' ')), ...ended];
      };
    },
    piece: token => token.replaceAll(suffix, ' '),
  };
}

function strip(content: string, start: number, stop: number, fused: boolean): Step {
  if (!fused) {
    return each(token => {
      let from = 0;
      let to = token.length;
      while (from < start && token[from] === content) from++;
      while (token.length - to < stop && to > from && token[to - 1] === content) to--;
      return token.slice(from, to);
    });
  }
  return {
    start: () => {
      let ahead = start;
      let held = '';
      return (tokens, last) => {
        let text = held + tokens.join('');
        while (ahead > 0 && text.startsWith(content)) {
          text = text.slice(content.length);
          ahead--;
        }
        if (text !== '') ahead = 0;
        let to = text.length;
        while (text.length - to < stop && to > 0 && text[to - 1] === content) to--;
        held = last ? '' : text.slice(to);
        return [text.slice(0, to)];
      };
    },
    piece: token => token,
  };
}

/** UTF-8 in parts: holds back an incomplete character until its other bytes come or `last`. */
function utf8(): (bytes: Uint8Array, last: boolean) => string {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  return (bytes, last) => decoder.decode(bytes, { stream: !last });
}

const byteToken = /^<0x([0-9A-Fa-f]{2})>$/;

function byteOf(token: string): number {
  const match = token.length === 6 ? byteToken.exec(token) : null;
  return match ? Number.parseInt(match[1]!, 16) : -1;
}

function byteFallback(): Step {
  return {
    start: () => {
      const decode = utf8();
      let run: number[] = [];
      let open = false;
      return (tokens, last) => {
        const out: string[] = [];
        const flush = (end: boolean): void => {
          // Character by character, so that the steps that follow cannot tell how the bytes were dealt out.
          if (run.length > 0 || open) for (const character of decode(Uint8Array.from(run), end)) out.push(character);
          open = !end && (open || run.length > 0);
          run = [];
        };
        for (const token of tokens) {
          const byte = byteOf(token);
          if (byte >= 0) {
            run.push(byte);
          } else {
            flush(true);
            out.push(token);
          }
        }
        flush(last);
        return out;
      };
    },
    piece: token => {
      const byte = byteOf(token);
      return byte < 0 ? token : Uint8Array.of(byte);
    },
  };
}

/** GPT-2's table: each byte is a printable character, itself where it is one. */
const byteOfCharacter = new Map<string, number>();
for (let byte = 0, next = 256; byte < 256; byte++) {
  const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  byteOfCharacter.set(String.fromCharCode(printable ? byte : next++), byte);
}

function levelBytes(token: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of token) {
    const byte = byteOfCharacter.get(character);
    // An added token may hold characters that the table lacks; then it stands for itself.
    if (byte === undefined) return Buffer.from(token);
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

function byteLevel(): Step {
  return {
    start: () => {
      const decode = utf8();
      return (tokens, last) => [decode(Buffer.concat(tokens.map(levelBytes)), last)];
    },
    piece: levelBytes,
    fuses: true,
  };
}

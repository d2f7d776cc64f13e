/** What is asked: prompts of a mix, drawn before anything is sent. */
import type { Draw } from '../statistics.ts';
import type { Lengths } from './lengths.ts';

export type MixName = 'random' | 'text' | 'sources' | 'prefixes';

export interface Mix {
  readonly name: MixName;
  /** Token ids below this; null: words. */
  readonly vocabulary: number | null;
  readonly input: Lengths;
  readonly output: Lengths;
  /** Of `text`: what prompts are cut from. */
  readonly words: readonly string[];
  /** Of `sources`: the share of requests that ask for a source that came before in the same run. */
  readonly duplicates: number;
  /** Of `prefixes`: tokens or words that stand before the prompts of a share, and how many different ones there are. */
  readonly prefixLength: number;
  readonly prefixShare: number;
  readonly prefixes: number;
}

/** One request: its prompt, ids or text, how long that was meant to be, and how long its answer should be. */
export interface Prompt {
  readonly prompt: readonly number[] | string;
  /** Tokens of ids, words of text: a server's usage knows better. */
  readonly inputLength: number;
  readonly outputLength: number;
}

export function drawPrompts(count: number, mix: Mix, draw: Draw): Prompt[] {
  const parts = partsOf(count, mix, draw);
  return parts.map(part => {
    const prompt = mix.vocabulary === null || mix.name === 'text' ? part.join(' ') : (part as number[]);
    return { prompt, inputLength: part.length, outputLength: mix.output(draw) };
  });
}

type Part = readonly (string | number)[];

function partsOf(count: number, mix: Mix, draw: Draw): Part[] {
  const fresh = (): Part => drawPart(mix.input(draw), mix, draw);
  const each = <T>(make: (index: number) => T) => Array.from({ length: count }, (_, index) => make(index));
  if (mix.name === 'text') return each(() => cut(mix.words, mix.input(draw), draw));
  if (mix.name === 'sources') {
    const repeats = chosen(count, Math.min(count - 1, Math.round(count * mix.duplicates)), draw);
    const seen: Part[] = [];
    return each(index => {
      if (repeats.has(index)) return seen[draw.whole(0, seen.length)]!;
      seen.push(fresh());
      return seen.at(-1)!;
    });
  }
  if (mix.name === 'prefixes') {
    const shared = Array.from({ length: mix.prefixes }, () => drawPart(mix.prefixLength, mix, draw));
    const having = Math.round(count * mix.prefixShare);
    const indices = shuffled(count, draw).slice(0, having);
    const with_ = new Set(indices);
    return each(index => (with_.has(index) ? [...shared[draw.whole(0, shared.length)]!, ...fresh()] : fresh()));
  }
  return each(fresh);
}

function drawPart(length: number, { vocabulary }: Mix, draw: Draw): Part {
  return vocabulary === null ? Array.from({ length }, () => draw.word()) : [...draw.tokens(length, vocabulary)];
}

/** So many words from anywhere in the text, which begins again behind its end. */
function cut(words: readonly string[], length: number, draw: Draw): Part {
  const start = draw.whole(0, words.length);
  return Array.from({ length }, (_, i) => words[(start + i) % words.length]!);
}

/** So many of the indices but the first, whose source nobody can have asked for before. */
function chosen(count: number, share: number, draw: Draw): Set<number> {
  return new Set(
    shuffled(count - 1, draw)
      .slice(0, share)
      .map(index => index + 1),
  );
}

function shuffled(count: number, draw: Draw): number[] {
  const indices = Array.from({ length: count }, (_, index) => index);
  for (let i = count - 1; i > 0; i--) {
    const j = draw.whole(0, i + 1);
    [indices[i], indices[j]] = [indices[j]!, indices[i]!];
  }
  return indices;
}

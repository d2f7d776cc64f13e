/**
 * The rows of one request in a beam search: which sequence stands for which live beam, what each of them offers, and what becomes
 * of their pages when the search goes on. Beams share the pages of what they have in common by reference; one that goes on from
 * another's tokens copies the last, partly filled page.
 */
import { type BeamCandidate, BeamSearch, type BeamStep } from './beam-search.ts';
import type { PageTables } from './page-tables.ts';
import type { PrefixCache } from './prefix-cache.ts';
import type { SequenceEvent } from './protocol.ts';
import { forcedToken } from './sampling.ts';
import type { Request, Sequence } from './sequence.ts';
import { firstEvent, type SampleResults } from './sequence-events.ts';

export class BeamGroup {
  readonly #request: Request;
  readonly #search: BeamSearch;
  /** By the place of its beam in the search. */
  #live: Sequence[];
  /** Candidates of live beams, as they come. */
  #rows: (readonly BeamCandidate[])[] = [];
  /** Tokens of the best hypothesis that were sent. */
  #sent = 0;

  constructor(request: Request, wanted: number) {
    const { params, stopTokens } = request;
    this.#request = request;
    this.#search = new BeamSearch({
      beam: params.beam!,
      wanted,
      maxTokens: params.maxTokens,
      endTokens: stopTokens,
      lastForced: params.forcedLast !== null,
      logprobs: params.logprobs,
    });
    this.#live = request.sequences.slice(0, 1);
    for (const sequence of request.sequences.slice(1)) sequence.dormant = true;
  }

  /** Whether every live beam has only its last token left to compute: they take each step together. */
  get ready(): boolean {
    return this.#live.every(({ decoding }) => decoding);
  }

  /** Takes in what a beam's sample gave. @returns whether all of this step's are there, so that advance() is due */
  take(sequence: Sequence, results: SampleResults, sample: number): boolean {
    const forced = forcedToken(this.#request.params, sequence.generated.length);
    this.#rows[this.#live.indexOf(sequence)] =
      forced >= 0 ? [[forced, 0]] : results.logprobs(sample, this.#request.alternatives)!.top;
    return this.#rows.length === this.#live.length && this.#live.every((_, beam) => this.#rows[beam] !== undefined);
  }

  /** One token more. @returns what is certain now, or everything, once the search is done */
  advance(tables: PageTables, prefixes: PrefixCache | null, now: () => number): SequenceEvent[] {
    const step = this.#search.advance(this.#rows);
    this.#rows = [];
    if (step.done) return this.#results(now);
    this.#regroup(step, tables, prefixes);
    if (step.agreed.length === 0) return [];
    this.#sent += step.agreed.length;
    return [this.#event(0, step.agreed, step.agreedLogprobs, firstEvent(this.#request, now))];
  }

  #regroup({ beams }: BeamStep, tables: PageTables, prefixes: PrefixCache | null): void {
    const before = this.#live;
    const kept = new Set(beams.map(({ parent }) => before[parent]!));
    for (const sequence of before) {
      if (kept.has(sequence)) continue;
      prefixes?.detach(sequence);
      tables.release(sequence);
      sequence.dormant = true;
    }
    const dormant = this.#request.sequences.filter(sequence => sequence.dormant);
    const taken = new Set<Sequence>();
    // Pages first, while the parents' tokens are still those of the pages.
    this.#live = beams.map(({ parent }) => {
      const own = before[parent]!;
      if (!taken.has(own)) {
        taken.add(own);
        return own;
      }
      const sequence = dormant.pop()!;
      tables.fork(own, sequence);
      sequence.generated = [...own.generated];
      sequence.dormant = false;
      sequence.attached = true;
      sequence.cacheable = false;
      return sequence;
    });
    for (const [beam, { token }] of beams.entries()) this.#live[beam]!.generated.push(token);
  }

  #results(now: () => number): SequenceEvent[] {
    const { endTokens } = this.#request.params;
    return this.#search.results().map(({ tokens, logprobs, score, finish }, index) => {
      const from = index === 0 ? this.#sent : 0;
      const last = tokens.at(-1);
      return this.#event(index, tokens.slice(from), logprobs.slice(from), {
        ...(index === 0 && firstEvent(this.#request, now)),
        finish,
        beamScore: score,
        ...(finish === 'stop' && last !== undefined && !endTokens.includes(last) && { stopToken: last }),
      });
    });
  }

  #event(
    index: number,
    tokens: readonly number[],
    logprobs: NonNullable<SequenceEvent['logprobs']>,
    more: Partial<SequenceEvent>,
  ): SequenceEvent {
    const reported = this.#request.params.logprobs >= 0 && { logprobs };
    return { id: this.#request.id, index, tokens, ...reported, ...more };
  }
}

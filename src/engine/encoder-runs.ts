/**
 * Sources through the encoder, step by step. A source cannot be cut by tokens, since they all see each other, but it can by layers: one
 * that does not fit what a step has left runs as many layers as are worth that many tokens, one at least, and its states
 * wait in the encoder's buffer. At most one source waits there at a time, and it goes on before another is begun.
 */
import type { Request } from './sequence.ts';
import type { Source, SourceCache } from './source-cache.ts';
import type { Step } from './step.ts';

/** What of a source runs in one step. */
export interface EncoderRun {
  readonly source: Source;
  /** Layers [first, last). */
  readonly first: number;
  readonly last: number;
}

export class EncoderRuns {
  readonly #sources: SourceCache;
  readonly #layers: number;
  /** The source that has been through some layers, but not all. */
  #begun: Source | null = null;

  constructor(sources: SourceCache, layers: number) {
    this.#sources = sources;
    this.#layers = layers;
  }

  /** Plans the next layers of the source that was begun, whoever waits for it. */
  planBegun(step: Step): void {
    if (this.#begun !== null && this.#begun.readers > 0) this.#run(step, this.#begun);
    else this.#begun = null;
  }

  /**
   * Plans what fits of a request's source, which is not encoded.
   * @returns whole: it will be encoded after this step's encoder passes, so rows of the same step may read it; part: in a later
   * step; none: there is no room for it, or no memory
   */
  plan(step: Step, request: Request): 'whole' | 'part' | 'none' {
    const source = request.source!;
    const planned = step.sources.find(run => run.source === source);
    if (planned) return planned.last === this.#layers ? 'whole' : 'part';
    if (source.tokens.length > step.left && (step.filling || this.#begun !== null)) return 'none';
    if (source.tables.length === 0 && !this.#sources.allocate(source, request.turn)) return 'none';
    return this.#run(step, source) ? 'whole' : 'part';
  }

  /** As many layers as are worth what the step has left, one at least. @returns whether they are the last ones */
  #run(step: Step, source: Source): boolean {
    const { length } = source.tokens;
    const worth = Math.floor((this.#layers * Math.max(step.left, 0)) / length);
    const last = Math.min(this.#layers, source.layers + Math.max(1, worth));
    step.sources.push({ source, first: source.layers, last });
    step.left -= Math.ceil((length * (last - source.layers)) / this.#layers);
    step.filling = true;
    return last === this.#layers;
  }

  /** The step has run these. */
  finish(runs: readonly EncoderRun[]): void {
    for (const { source, last } of runs) {
      source.layers = last;
      if (last < this.#layers) {
        this.#begun = source;
        continue;
      }
      this.#sources.finish(source);
      if (this.#begun === source) this.#begun = null;
    }
  }
}

/** What of a model's keys and values outlives its readers: sources and prefixes, evicted by one clock. */
import type { PrefixCache } from './prefix-cache.ts';
import type { SourceCache } from './source-cache.ts';

export class Caches {
  readonly sources: SourceCache;
  /** null: no page of this model can be used again by another row. */
  readonly prefixes: PrefixCache | null;

  constructor(sources: SourceCache, prefixes: PrefixCache | null) {
    this.sources = sources;
    this.prefixes = prefixes;
  }

  /** When what evict() would take was last used (MemoryBudget.tick); null: nothing can be evicted. */
  oldest(): number | null {
    const oldest = Math.min(this.#oldestSource(), this.#oldestPrefix());
    return oldest === Number.POSITIVE_INFINITY ? null : oldest;
  }

  /** Lets go of what was not used for longest. */
  evict(): void {
    if (this.#oldestPrefix() < this.#oldestSource()) {
      this.prefixes!.evict();
      return;
    }
    const source = this.sources.oldest();
    if (source === null) return;
    this.prefixes?.evictSource(source);
    this.sources.evict();
  }

  #oldestSource(): number {
    return this.sources.oldest()?.lastUse ?? Number.POSITIVE_INFINITY;
  }

  #oldestPrefix(): number {
    return this.prefixes?.oldest() ?? Number.POSITIVE_INFINITY;
  }

  /** @throws Error where anything is still read */
  checkIdle(): void {
    this.sources.checkIdle();
    this.prefixes?.checkIdle();
  }
}

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
    const source = this.sources.oldest();
    const prefix = this.prefixes?.oldest() ?? null;
    return source === null || prefix === null ? (source ?? prefix) : Math.min(source, prefix);
  }

  /** Lets go of what was not used for longest. */
  evict(): void {
    const source = this.sources.oldest();
    const prefix = this.prefixes?.oldest() ?? null;
    if (prefix !== null && (source === null || prefix < source)) this.prefixes!.evict();
    else this.sources.evict();
  }

  /** @throws Error where anything is still read */
  checkIdle(): void {
    this.sources.checkIdle();
    this.prefixes?.checkIdle();
  }
}

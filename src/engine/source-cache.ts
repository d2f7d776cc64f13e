/**
 * Encoder inputs and their cross keys and values. A source is encoded once; its pages never change after that, and are shared
 * by reference by all its readers: the answers of a request, concurrent requests of the same tokens, and later ones, for as
 * long as nobody needs the memory. It is the whole source or nothing: every state depends on every source token.
 */
import type { Turn } from './fair-share.ts';
import type { MemoryBudget } from './memory-budget.ts';
import type { PagePool } from './pages.ts';
import { type Listed, RecencyList } from './recency-list.ts';
import { equalTokens, hashTokens } from './tokens.ts';

/** What tells one source from another; made once for each request, since hashing takes time by the length. */
export interface SourceKey {
  readonly tokens: Int32Array;
  /** Requests of another salt do not see it. */
  readonly salt: string | null;
  readonly hash: number;
}

export function sourceKey(tokens: Int32Array, salt: string | null): SourceKey {
  return { tokens, salt, hash: hashTokens(i => tokens[i]!, 0, tokens.length) };
}

/** One encoder input. */
export class Source implements Listed<Source> {
  readonly key: SourceKey;
  /** Sources by age; no two of a model have the same. */
  readonly order: number;
  /** Pages by cross group; empty until the step that begins to encode it is planned. */
  tables: readonly Int32Array[] = [];
  /** Encoder layers that it has been through; its states wait in the encoder's buffer for the others. */
  layers = 0;
  /** True after the step that ran the last of them. */
  encoded = false;
  /** Requests that read it. */
  readers = 0;
  /** Roots of the prefix cache that depend on it. */
  prefixes = 0;
  /** When a reader left it, or what depends on it, last (MemoryBudget.tick). */
  lastUse = 0;
  before: Source | null = null;
  after: Source | null = null;

  constructor(key: SourceKey, order: number) {
    this.key = key;
    this.order = order;
  }

  get tokens(): Int32Array {
    return this.key.tokens;
  }
}

export class SourceCache {
  readonly #pool: PagePool;
  readonly #budget: MemoryBudget;
  readonly #groups: number;
  readonly #pageTokens: number;
  /** By hash; every token is compared, so that a collision cannot serve another's text. */
  readonly #byHash = new Map<number, Source[]>();
  /** Encoded, without readers and prefixes. */
  readonly #evictable = new RecencyList<Source>();
  #made = 0;
  #queries = 0;
  #hits = 0;

  constructor(pool: PagePool, budget: MemoryBudget, crossGroups: number, pageTokens: number) {
    this.#pool = pool;
    this.#budget = budget;
    this.#groups = crossGroups;
    this.#pageTokens = pageTokens;
  }

  /** Sources that requests asked for, and those of them that were here, encoded or about to be. */
  get queries(): number {
    return this.#queries;
  }

  get hits(): number {
    return this.#hits;
  }

  /** Pages that a source of so many tokens takes. */
  pagesFor(tokens: number): number {
    return this.#groups * Math.ceil(tokens / this.#pageTokens);
  }

  find(key: SourceKey): Source | undefined {
    return this.#byHash.get(key.hash)?.find(source => isEqual(source.key, key));
  }

  /** One more reader, of a source that was here (a hit) or is new. */
  acquire(key: SourceKey): { readonly source: Source; readonly hit: boolean } {
    this.#queries++;
    const found = this.find(key);
    if (found !== undefined) this.#hits++;
    const source = found ?? this.#make(key);
    this.#evictable.remove(source);
    if (source.encoded && source.readers === 0)
      for (const table of source.tables) for (const page of table) this.#pool.share(page);
    source.readers++;
    return { source, hit: found !== undefined };
  }

  /** Gives an acquired source its pages, before its encoding begins. False: there is no memory for them. */
  allocate(source: Source, turn: Turn): boolean {
    const pages = this.#pool.allocate(this.pagesFor(source.tokens.length), 'cross', turn);
    if (pages === null) return false;
    const perGroup = pages.length / this.#groups;
    source.tables = Array.from({ length: this.#groups }, (_, group) =>
      Int32Array.from(pages.slice(group * perGroup, (group + 1) * perGroup)),
    );
    return true;
  }

  /** All its layers have been run. */
  finish(source: Source): void {
    source.encoded = true;
    for (const table of source.tables) for (const page of table) this.#pool.hold(page);
  }

  /** One reader less. What nobody reads is kept if it was encoded. */
  release(source: Source): void {
    if (--source.readers > 0) return;
    if (!source.encoded) {
      this.#forget(source);
      return;
    }
    for (const table of source.tables) for (const page of table) this.#pool.release(page);
    source.lastUse = this.#budget.tick();
    this.settle(source);
  }

  /** Makes evictable what nobody reads and no prefix depends on. */
  settle(source: Source): void {
    if (source.readers > 0 || source.prefixes > 0) return;
    this.#evictable.add(source);
  }

  /** When what evict() would take was last used; null: nothing can be evicted. */
  oldest(): number | null {
    return this.#evictable.first?.lastUse ?? null;
  }

  evict(): void {
    const { first } = this.#evictable;
    if (first === null) return;
    this.#evictable.remove(first);
    this.#forget(first);
  }

  #make(key: SourceKey): Source {
    const source = new Source(key, this.#made++);
    const bucket = this.#byHash.get(key.hash);
    if (bucket) bucket.push(source);
    else this.#byHash.set(key.hash, [source]);
    return source;
  }

  #forget(source: Source): void {
    for (const table of source.tables) {
      for (const page of table) {
        if (source.encoded) this.#pool.unhold(page);
        else this.#pool.release(page);
      }
    }
    const { hash } = source.key;
    const bucket = this.#byHash.get(hash)!;
    if (bucket.length === 1) this.#byHash.delete(hash);
    else bucket.splice(bucket.indexOf(source), 1);
  }

  /** @throws Error where a source has readers, or can never be evicted. */
  checkIdle(): void {
    for (const { readers, order, encoded } of [...this.#byHash.values()].flat()) {
      if (readers !== 0 || !encoded) throw new Error(`sources: source ${order} has ${readers} readers, though idle`);
    }
  }
}

function isEqual(a: SourceKey, b: SourceKey): boolean {
  return a.salt === b.salt && a.tokens.length === b.tokens.length && equalTokens(a.tokens, i => b.tokens[i]!, 0);
}

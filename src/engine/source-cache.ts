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

/** One encoder input. */
export class Source implements Listed<Source> {
  readonly tokens: Int32Array;
  /** Requests of another salt do not see it. */
  readonly salt: string | null;
  readonly hash: number;
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
  /** When it became evictable (MemoryBudget.tick). */
  lastUse = 0;
  before: Source | null = null;
  after: Source | null = null;

  constructor(tokens: Int32Array, salt: string | null, hash: number, order: number) {
    this.tokens = tokens;
    this.salt = salt;
    this.hash = hash;
    this.order = order;
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

  find(tokens: Int32Array, salt: string | null): Source | undefined {
    return this.#bucket(tokens)?.find(source => source.salt === salt && isEqual(source, tokens));
  }

  /** One more reader, of a source that was here (a hit) or is new. */
  acquire(tokens: Int32Array, salt: string | null): { readonly source: Source; readonly hit: boolean } {
    this.#queries++;
    const found = this.find(tokens, salt);
    if (found !== undefined) this.#hits++;
    const source = found ?? this.#make(tokens, salt);
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
    this.settle(source);
  }

  /** Makes evictable what nobody reads and no prefix depends on. */
  settle(source: Source): void {
    if (source.readers > 0 || source.prefixes > 0) return;
    source.lastUse = this.#budget.tick();
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

  #make(tokens: Int32Array, salt: string | null): Source {
    const source = new Source(tokens, salt, hashOf(tokens), this.#made++);
    const bucket = this.#byHash.get(source.hash);
    if (bucket) bucket.push(source);
    else this.#byHash.set(source.hash, [source]);
    return source;
  }

  #forget(source: Source): void {
    for (const table of source.tables) {
      for (const page of table) {
        if (source.encoded) this.#pool.unhold(page);
        else this.#pool.release(page);
      }
    }
    const bucket = this.#byHash.get(source.hash)!;
    if (bucket.length === 1) this.#byHash.delete(source.hash);
    else bucket.splice(bucket.indexOf(source), 1);
  }

  #bucket(tokens: Int32Array): Source[] | undefined {
    return this.#byHash.get(hashOf(tokens));
  }

  /** @throws Error where a source has readers, or can never be evicted. */
  checkIdle(): void {
    for (const { readers, order, encoded } of [...this.#byHash.values()].flat()) {
      if (readers !== 0 || !encoded) throw new Error(`sources: source ${order} has ${readers} readers, though idle`);
    }
  }
}

function hashOf(tokens: Int32Array): number {
  return hashTokens(i => tokens[i]!, 0, tokens.length);
}

function isEqual(source: Source, tokens: Int32Array): boolean {
  return source.tokens.length === tokens.length && equalTokens(source.tokens, i => tokens[i]!, 0);
}

/**
 * Encoder inputs that rows read: each is encoded once, and its cross pages are shared by reference by all its readers: the
 * n sequences of a request, and concurrent requests whose source tokens are the same.
 */
import type { PagePool } from './pages.ts';

/** One encoder input. Its cross pages never change once it is encoded. */
export class Source {
  readonly tokens: Int32Array;
  readonly hash: number;
  /** Sources by age. */
  readonly order: number;
  /** Pages by cross group; empty until the step that encodes it is planned. */
  tables: readonly Int32Array[] = [];
  /** True after the step that encoded it. */
  encoded = false;
  /** Requests that read it. */
  readers = 0;

  constructor(tokens: Int32Array, hash: number, order: number) {
    this.tokens = tokens;
    this.hash = hash;
    this.order = order;
  }
}

/** Where sources are kept. Which of them outlive their last reader is the store's own policy. */
export interface SourceStore {
  /** Pages that a source of so many tokens takes. */
  pagesFor(tokens: number): number;
  /** The source of these very tokens, if it is here. */
  find(tokens: Int32Array): Source | undefined;
  /** One more reader. Where find() gave nothing, the caller has reserved pagesFor(tokens.length): they are the source's now. */
  acquire(tokens: Int32Array): { readonly source: Source; readonly hit: boolean };
  /** Gives an acquired source its pages, before it is encoded. */
  allocate(source: Source): void;
  /** One reader less. */
  release(source: Source): void;
  readonly queries: number;
  readonly hits: number;
  /** @throws Error where a source still has readers. */
  checkIdle(): void;
}

/** Keeps a source only while it has readers. */
export class LiveSources implements SourceStore {
  readonly #pool: PagePool;
  readonly #groups: number;
  readonly #pageTokens: number;
  /** By hash; every token is compared, so that a collision cannot serve another's text. */
  readonly #byHash = new Map<number, Source[]>();
  #made = 0;
  #queries = 0;
  #hits = 0;

  constructor(pool: PagePool, crossGroups: number, pageTokens: number) {
    this.#pool = pool;
    this.#groups = crossGroups;
    this.#pageTokens = pageTokens;
  }

  get queries(): number {
    return this.#queries;
  }

  get hits(): number {
    return this.#hits;
  }

  pagesFor(tokens: number): number {
    return this.#groups * Math.ceil(tokens / this.#pageTokens);
  }

  find(tokens: Int32Array): Source | undefined {
    return this.#byHash.get(hashTokens(tokens))?.find(source => equalTokens(source.tokens, tokens));
  }

  acquire(tokens: Int32Array): { source: Source; hit: boolean } {
    this.#queries++;
    let source = this.find(tokens);
    const hit = source !== undefined;
    if (source === undefined) {
      source = new Source(tokens, hashTokens(tokens), this.#made++);
      const bucket = this.#byHash.get(source.hash);
      if (bucket) bucket.push(source);
      else this.#byHash.set(source.hash, [source]);
    } else {
      this.#hits++;
    }
    source.readers++;
    return { source, hit };
  }

  allocate(source: Source): void {
    const pages = this.#pool.allocate(this.pagesFor(source.tokens.length), 'cross');
    if (pages === null) throw new Error('no page for a source, though its pages were reserved');
    const perGroup = pages.length / this.#groups;
    source.tables = Array.from({ length: this.#groups }, (_, group) =>
      Int32Array.from(pages.slice(group * perGroup, (group + 1) * perGroup)),
    );
  }

  release(source: Source): void {
    if (--source.readers > 0) return;
    for (const table of source.tables) for (const page of table) this.#pool.release(page);
    this.#pool.unreserve(this.pagesFor(source.tokens.length));
    const bucket = this.#byHash.get(source.hash)!;
    if (bucket.length === 1) this.#byHash.delete(source.hash);
    else bucket.splice(bucket.indexOf(source), 1);
  }

  checkIdle(): void {
    if (this.#byHash.size !== 0) throw new Error(`sources: ${this.#byHash.size} are still kept, though idle`);
  }
}

/** FNV-1a over the token ids. */
export function hashTokens(tokens: Int32Array): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < tokens.length; i++) hash = Math.imul(hash ^ tokens[i]!, 0x01000193);
  return hash >>> 0;
}

function equalTokens(a: Int32Array, b: Int32Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/**
 * Self keys and values that outlive their sequence, and who may read them again. Their pages form trees. A *root* is what all
 * of them depend on from the first token on: the cache salt, the source, and, where the tokens of a prompt see each
 * other, the whole prompt (arXiv 2510.26622's prefix-LM mask), which is then all or nothing: the root itself holds the prompt's
 * pages. Below it each *node* is one page of tokens after its parent's, found by a hash of both; every token is compared.
 *
 * A sequence stands at the node of its last whole page, as one of its users, and adds nodes as it fills pages. A node without
 * users and children can be evicted: the one that has not been used for longest first. A source stays while there are roots of it.
 */
import type { MemoryBudget } from './memory-budget.ts';
import type { PagePool } from './pages.ts';
import { Node, NodeTable, Root, type Run } from './prefix-node.ts';
import { RecencyList } from './recency-list.ts';
import type { Sequence } from './sequence.ts';
import type { SourceCache } from './source-cache.ts';
import { equalTokens, hashTokens } from './tokens.ts';

/** Where a sequence stands. */
export interface PrefixPlace {
  readonly node: Node;
  /** Its whole pages up to there. */
  readonly pages: number;
}

const none: Run = { tokens: new Int32Array(0), start: 0, tables: [] };

export class PrefixCache {
  readonly #pool: PagePool;
  readonly #budget: MemoryBudget;
  readonly #sources: SourceCache;
  readonly #groups: number;
  readonly #pageTokens: number;
  readonly #wholePrompts: boolean;
  readonly #nodes = new NodeTable();
  readonly #evictable = new RecencyList<Node>();
  #made = 0;
  #queries = 0;
  #hits = 0;

  /** @param groups self groups, none of which has a window */
  constructor(
    parts: { readonly pool: PagePool; readonly budget: MemoryBudget; readonly sources: SourceCache },
    groups: number,
    pageTokens: number,
    wholePrompts: boolean,
  ) {
    this.#pool = parts.pool;
    this.#budget = parts.budget;
    this.#sources = parts.sources;
    this.#groups = groups;
    this.#pageTokens = pageTokens;
    this.#wholePrompts = wholePrompts;
  }

  /** Tokens that were looked up, and those that were here. */
  get queries(): number {
    return this.#queries;
  }

  get hits(): number {
    return this.#hits;
  }

  /**
   * Gives a sequence that has computed nothing the pages of the longest run of its tokens that is here, sets `computed`, and where it
   * stands. At least its token `last` is left to compute. A page of which it needs a part is shared only for copying.
   */
  attach(sequence: Sequence, last: number): void {
    this.#queries += sequence.length;
    const root = this.#findRoot(sequence);
    if (root !== undefined && this.#wholePrompts) this.#attachPrompt(sequence, root, last);
    else if (!this.#wholePrompts) this.#walk(sequence, root ?? this.#makeRoot(sequence, none, 0), 0, last);
    this.#hits += sequence.computed;
  }

  /** From `root`, whose pages end with whole page `pages`, as far as pages are here. @returns how far that was, in pages */
  #walk(sequence: Sequence, root: Node, pages: number, last: number): number {
    const path: Node[] = [];
    let node = root;
    for (let page = pages; (page + 1) * this.#pageTokens <= last; page++) {
      const child = this.#child(node, this.#hash(node, sequence, page), sequence, page);
      if (child === undefined) break;
      path.push(child);
      node = child;
    }
    for (let group = 0; group < this.#groups; group++) {
      const table = new Int32Array(pages + path.length);
      for (let i = 0; i < pages; i++) table[i] = root.run.tables[group]![i]!;
      for (let i = 0; i < path.length; i++) table[pages + i] = path[i]!.run.tables[group]![pages + i]!;
      for (const page of table) this.#pool.share(page);
      sequence.tables[group] = table;
    }
    sequence.computed = (pages + path.length) * this.#pageTokens;
    this.#stand(sequence, node, pages + path.length);
    return path.length;
  }

  #attachPrompt(sequence: Sequence, root: Root, last: number): void {
    const { length } = root.prompt;
    const whole = Math.floor(length / this.#pageTokens);
    if (last >= length && this.#walk(sequence, root, whole, last) > 0) return;
    // The rest of the prompt lies in a page of which others write the other slots, or whose last token must be computed anew.
    const computed = Math.min(length, last);
    const shared = Math.floor(computed / this.#pageTokens);
    if (sequence.prefix === null) {
      for (let group = 0; group < this.#groups; group++) {
        const table = root.run.tables[group]!.slice(0, shared);
        for (const page of table) this.#pool.share(page);
        sequence.tables[group] = table;
      }
    }
    sequence.computed = computed;
    if (computed === shared * this.#pageTokens) return;
    sequence.copyFrom = Int32Array.from(root.run.tables, table => table[shared]!);
    for (const page of sequence.copyFrom) this.#pool.share(page);
    // Its own pages end in a copy, which may never be made: what it has is not the cache's.
    this.detach(sequence);
    sequence.cacheable = false;
  }

  /** Takes in the pages that a sequence has filled since it was last here. */
  extend(sequence: Sequence): void {
    if (!sequence.cacheable) return;
    if (this.#wholePrompts && sequence.prefix === null) this.#addPrompt(sequence);
    const place = sequence.prefix;
    if (place === null || (place.pages + 1) * this.#pageTokens > sequence.computed) return;
    const run = runOf(sequence, place.pages * this.#pageTokens);
    let { node } = place;
    let page = place.pages;
    for (; (page + 1) * this.#pageTokens <= sequence.computed; page++) {
      const hash = this.#hash(node, sequence, page);
      // Another sequence has computed the same at the same time: this one keeps its own pages to itself.
      if (this.#child(node, hash, sequence, page) !== undefined) {
        this.#stand(sequence, node, page);
        this.detach(sequence);
        sequence.cacheable = false;
        return;
      }
      for (const table of run.tables) this.#pool.hold(table[page]!);
      const child = new Node(this.#made++, node, hash, run, page, page + 1);
      this.#nodes.add(child);
      node.children++;
      node.lastUse = this.#budget.tick();
      node = child;
    }
    this.#stand(sequence, node, page);
  }

  /** A prompt that its own sequence has computed as a whole. */
  #addPrompt(sequence: Sequence): void {
    const { prefix, prompt } = sequence.request;
    if (sequence.computed < prefix) return;
    if (this.#findRoot(sequence) !== undefined) {
      sequence.cacheable = false;
      return;
    }
    const pages = Math.ceil(prefix / this.#pageTokens);
    const tables = sequence.tables.map(table => table.slice(0, pages));
    if (tables.some(({ length }) => length < pages))
      throw new Error('prefix cache: a prompt that was computed has not all its pages');
    for (const table of tables) for (const page of table) this.#pool.hold(page);
    const root = this.#makeRoot(sequence, { tokens: prompt.slice(0, prefix), start: 0, tables }, pages);
    this.#stand(sequence, root, Math.floor(prefix / this.#pageTokens));
  }

  /** The sequence reads and adds nothing any more. Its pages are its own affair. */
  detach(sequence: Sequence): void {
    const place = sequence.prefix;
    sequence.prefix = null;
    if (place !== null) this.#leave(place.node);
  }

  #stand(sequence: Sequence, node: Node, pages: number): void {
    const before = sequence.prefix;
    sequence.prefix = { node, pages };
    node.users++;
    this.#evictable.remove(node);
    if (before !== null) this.#leave(before.node);
  }

  #leave(node: Node): void {
    node.users--;
    node.lastUse = this.#budget.tick();
    this.#settle(node);
  }

  /** Makes evictable what has neither users nor children; drops a root that holds nothing. */
  #settle(node: Node): void {
    if (node.users > 0 || node.children > 0) return;
    if (node instanceof Root && node.prompt.length === 0) {
      this.#dropRoot(node);
      return;
    }
    this.#evictable.add(node);
  }

  /** When what evict() would take was last used; null: nothing can be evicted. */
  oldest(): number | null {
    return this.#evictable.first?.lastUse ?? null;
  }

  evict(): void {
    const { first } = this.#evictable;
    if (first !== null) this.#remove(first);
  }

  #remove(node: Node): void {
    this.#evictable.remove(node);
    for (const table of node.run.tables)
      for (let page = node.firstPage; page < node.endPage; page++) this.#pool.unhold(table[page]!);
    if (node instanceof Root) {
      this.#dropRoot(node);
      return;
    }
    this.#nodes.remove(node);
    const parent = node.parent!;
    // Who used the child used what is before it.
    parent.lastUse = Math.max(parent.lastUse, node.lastUse);
    parent.children--;
    this.#settle(parent);
  }

  #child(node: Node, hash: number, sequence: Sequence, page: number): Node | undefined {
    for (let child = this.#nodes.first(hash); child !== null; child = child.next) {
      if (child.parent === node && this.#holds(child, sequence, page)) return child;
    }
    return undefined;
  }

  /** Whether a node is of these very tokens of the sequence. */
  #holds({ run, firstPage }: Node, sequence: Sequence, page: number): boolean {
    const own = firstPage * this.#pageTokens - run.start;
    const start = page * this.#pageTokens;
    for (let i = 0; i < this.#pageTokens; i++) if (run.tokens[own + i] !== sequence.token(start + i)) return false;
    return true;
  }

  /** Of a page of a sequence's tokens below a node. */
  #hash(node: Node, sequence: Sequence, page: number): number {
    const start = page * this.#pageTokens;
    return mix(
      hashTokens(index => sequence.token(index), start, this.#pageTokens),
      node.id,
    );
  }

  #rootHash({ request }: Sequence): number {
    const { prompt, prefix, source, cacheSalt } = request;
    let hash = hashTokens(index => prompt[index]!, 0, this.#wholePrompts ? prefix : 0);
    for (const unit of cacheSalt ?? '') hash = mix(hash, unit.charCodeAt(0));
    return mix(hash, source?.order ?? -1);
  }

  #findRoot(sequence: Sequence): Root | undefined {
    const { source, cacheSalt, prompt, prefix } = sequence.request;
    const whole = this.#wholePrompts ? prefix : 0;
    for (let root = this.#nodes.first(this.#rootHash(sequence)); root !== null; root = root.next) {
      if (!(root instanceof Root) || root.source !== source || root.salt !== cacheSalt) continue;
      if (root.prompt.length === whole && equalTokens(root.prompt, index => prompt[index]!, 0)) return root;
    }
    return undefined;
  }

  #makeRoot(sequence: Sequence, prompt: Run, pages: number): Root {
    const { request } = sequence;
    const root = new Root(this.#made++, request, this.#rootHash(sequence), prompt, pages);
    this.#nodes.add(root);
    if (request.source !== null) request.source.prefixes++;
    return root;
  }

  #dropRoot(root: Root): void {
    this.#nodes.remove(root);
    if (root.source === null) return;
    root.source.prefixes--;
    root.source.lastUse = Math.max(root.source.lastUse, root.lastUse);
    this.#sources.settle(root.source);
  }

  /** @throws Error where a sequence still stands anywhere. */
  checkIdle(): void {
    for (const node of this.#nodes) {
      if (node.users !== 0) throw new Error(`prefix cache: a node has ${node.users} users, though idle`);
      if (this.#evictable.has(node) !== (node.children === 0))
        throw new Error('prefix cache: a leaf cannot be evicted, or what is none can');
    }
  }
}

/** Its tokens from `start` on that are computed, and its pages as they are now. */
function runOf(sequence: Sequence, start: number): Run {
  const tokens = Int32Array.from({ length: sequence.computed - start }, (_, i) => sequence.token(start + i));
  return { tokens, start, tables: [...sequence.tables] };
}

function mix(hash: number, value: number): number {
  return Math.imul(hash ^ value, 0x01000193) >>> 0;
}

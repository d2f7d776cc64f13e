/**
 * Self keys and values that outlive their sequence, and who may read them again. Their pages form trees. A *root* is what all
 * of them depend on from the first token on: the cache salt, the source, and, where the tokens of a prompt see each
 * other, the whole prompt (arXiv 2510.26622's prefix-LM mask), which is then all or nothing: the root itself holds the prompt's
 * pages. Below it each *node* is one page of tokens after its parent's; every token is compared on the way.
 *
 * A sequence stands at the node of its last whole page, as one of its users, and adds nodes as it fills pages. A node without
 * users and children can be evicted: the one that has not been used for longest first.
 */
import type { MemoryBudget } from './memory-budget.ts';
import type { PagePool } from './pages.ts';
import type { Sequence } from './sequence.ts';
import type { Source } from './source-cache.ts';
import { equalTokens, hashTokens } from './tokens.ts';

class Node {
  readonly parent: Node | null;
  /** Of its one page; of a root: the whole prompt, or none. */
  readonly tokens: Int32Array;
  /** By self group: its page; of a root: the prompt's pages, the last of them perhaps partly filled. */
  readonly pages: readonly Int32Array[];
  /** By hash of their tokens. */
  readonly children = new Map<number, Node[]>();
  childCount = 0;
  /** Sequences that stand here. */
  users = 0;
  /** When it became evictable (MemoryBudget.tick). */
  lastUse = 0;
  readonly key: number;

  constructor(parent: Node | null, key: number, tokens: Int32Array, pages: readonly Int32Array[]) {
    this.parent = parent;
    this.key = key;
    this.tokens = tokens;
    this.pages = pages;
  }
}

class Root extends Node {
  readonly source: Source | null;
  readonly salt: string | null;

  constructor(
    source: Source | null,
    salt: string | null,
    key: number,
    prompt: Int32Array,
    pages: readonly Int32Array[],
  ) {
    super(null, key, prompt, pages);
    this.source = source;
    this.salt = salt;
  }
}

/** Where a sequence stands. */
export interface PrefixPlace {
  readonly node: Node;
  /** Its whole pages up to there. */
  readonly pages: number;
}

const none = new Int32Array(0);

export class PrefixCache {
  readonly #pool: PagePool;
  readonly #budget: MemoryBudget;
  readonly #groups: number;
  readonly #pageTokens: number;
  readonly #wholePrompts: boolean;
  readonly #roots = new Map<number, Root[]>();
  readonly #rootsOfSource = new Map<Source, Set<Root>>();
  readonly #evictable = new Set<Node>();
  #queries = 0;
  #hits = 0;

  /** @param groups self groups, none of which has a window */
  constructor(pool: PagePool, budget: MemoryBudget, groups: number, pageTokens: number, wholePrompts: boolean) {
    this.#pool = pool;
    this.#budget = budget;
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
    else if (!this.#wholePrompts) this.#walk(sequence, root ?? this.#makeRoot(sequence, none, []), 0, last);
    this.#hits += sequence.computed;
  }

  /** From `root`, whose pages end with whole page `pages`, as far as pages are here. */
  #walk(sequence: Sequence, root: Node, pages: number, last: number): number {
    const path: Node[] = [];
    let node = root;
    for (let page = pages; (page + 1) * this.#pageTokens <= last; page++) {
      const child = this.#child(node, sequence, page);
      if (child === undefined) break;
      path.push(child);
      node = child;
    }
    for (let group = 0; group < this.#groups; group++) {
      const table = new Int32Array(pages + path.length);
      for (let i = 0; i < pages; i++) table[i] = root.pages[group]![i]!;
      for (let i = 0; i < path.length; i++) table[pages + i] = path[i]!.pages[group]![0]!;
      for (const page of table) this.#pool.share(page);
      sequence.tables[group] = table;
    }
    sequence.computed = (pages + path.length) * this.#pageTokens;
    this.#stand(sequence, { node, pages: pages + path.length });
    return path.length;
  }

  #attachPrompt(sequence: Sequence, root: Root, last: number): void {
    const length = root.tokens.length;
    const whole = Math.floor(length / this.#pageTokens);
    if (last >= length && this.#walk(sequence, root, whole, last) > 0) return;
    // The rest of the prompt lies in a page of which others write the other slots, or whose last token must be computed anew.
    const computed = Math.min(length, last);
    const shared = Math.floor(computed / this.#pageTokens);
    if (sequence.prefix === null) {
      for (let group = 0; group < this.#groups; group++) {
        const table = root.pages[group]!.slice(0, shared);
        for (const page of table) this.#pool.share(page);
        sequence.tables[group] = table;
      }
    }
    sequence.computed = computed;
    if (computed === shared * this.#pageTokens) return;
    sequence.copyFrom = Int32Array.from(root.pages, pages => pages[shared]!);
    for (const page of sequence.copyFrom) this.#pool.share(page);
    // Its own pages end in a copy: what follows is not the cache's.
    this.detach(sequence);
  }

  /** Takes in the pages that a sequence has filled since it was last here. */
  extend(sequence: Sequence): void {
    if (this.#wholePrompts && sequence.prefix === null) this.#addPrompt(sequence);
    for (let place = sequence.prefix; place !== null; place = sequence.prefix) {
      const { node, pages } = place;
      if ((pages + 1) * this.#pageTokens > sequence.computed) return;
      // Another sequence has computed the same at the same time: this one keeps its own pages to itself.
      if (this.#child(node, sequence, pages) !== undefined) {
        this.detach(sequence);
        sequence.cacheable = false;
        return;
      }
      const start = pages * this.#pageTokens;
      const tokens = Int32Array.from({ length: this.#pageTokens }, (_, i) => sequence.token(start + i));
      const own = sequence.tables.map(table => table.slice(pages, pages + 1));
      const child = new Node(node, this.#pageKey(sequence, pages), tokens, own);
      for (const table of own) this.#pool.hold(table[0]!);
      const siblings = node.children.get(child.key);
      if (siblings) siblings.push(child);
      else node.children.set(child.key, [child]);
      node.childCount++;
      this.#stand(sequence, { node: child, pages: pages + 1 });
    }
  }

  /** A prompt that its own sequence has computed as a whole. */
  #addPrompt(sequence: Sequence): void {
    const { prefix } = sequence.request;
    if (!sequence.cacheable || sequence.computed < prefix) return;
    if (this.#findRoot(sequence) !== undefined) {
      sequence.cacheable = false;
      return;
    }
    const pages = sequence.tables.map(table => table.slice(0, Math.ceil(prefix / this.#pageTokens)));
    for (const table of pages) for (const page of table) this.#pool.hold(page);
    const root = this.#makeRoot(sequence, sequence.request.prompt.slice(0, prefix), pages);
    this.#stand(sequence, { node: root, pages: Math.floor(prefix / this.#pageTokens) });
  }

  /** The sequence reads and adds nothing any more. Its pages are its own affair. */
  detach(sequence: Sequence): void {
    const place = sequence.prefix;
    sequence.prefix = null;
    if (place !== null) this.#leave(place.node);
  }

  #stand(sequence: Sequence, place: PrefixPlace): void {
    const before = sequence.prefix;
    sequence.prefix = place;
    place.node.users++;
    this.#evictable.delete(place.node);
    if (before !== null) this.#leave(before.node);
  }

  #leave(node: Node): void {
    node.users--;
    this.#settle(node);
  }

  /** Makes evictable what has neither users nor children; drops a root that holds nothing. */
  #settle(node: Node): void {
    if (node.users > 0 || node.childCount > 0) return;
    if (node instanceof Root && node.tokens.length === 0) {
      this.#dropRoot(node);
      return;
    }
    node.lastUse = this.#budget.tick();
    this.#evictable.add(node);
  }

  /** When what evict() would take was last used; null: nothing can be evicted. */
  oldest(): number | null {
    const first = this.#evictable.values().next();
    return first.done ? null : first.value.lastUse;
  }

  evict(): void {
    const first = this.#evictable.values().next();
    if (!first.done) this.#remove(first.value);
  }

  /** Everything below a source that is about to go; nobody reads it. */
  evictSource(source: Source): void {
    for (const root of [...(this.#rootsOfSource.get(source) ?? [])]) {
      for (let leaf = leafOf(root); leaf !== root; leaf = leafOf(root)) this.#remove(leaf);
      if (this.#rootsOfSource.get(source)?.has(root)) this.#remove(root);
    }
  }

  #remove(node: Node): void {
    this.#evictable.delete(node);
    for (const table of node.pages) for (const page of table) this.#pool.unhold(page);
    if (node instanceof Root) {
      this.#dropRoot(node);
      return;
    }
    const parent = node.parent!;
    const siblings = parent.children.get(node.key)!;
    if (siblings.length === 1) parent.children.delete(node.key);
    else siblings.splice(siblings.indexOf(node), 1);
    parent.childCount--;
    this.#settle(parent);
  }

  #child(node: Node, sequence: Sequence, page: number): Node | undefined {
    const token = (index: number) => sequence.token(index);
    const start = page * this.#pageTokens;
    return node.children.get(this.#pageKey(sequence, page))?.find(child => equalTokens(child.tokens, token, start));
  }

  #pageKey(sequence: Sequence, page: number): number {
    return hashTokens(index => sequence.token(index), page * this.#pageTokens, this.#pageTokens);
  }

  #rootKey({ request }: Sequence): number {
    const salt = request.cacheSalt ?? '';
    const whole = this.#wholePrompts ? request.prefix : 0;
    let key = hashTokens(index => request.prompt[index]!, 0, whole);
    key = Math.imul(key ^ ((request.source?.order ?? -1) + 2), 0x01000193);
    for (let i = 0; i < salt.length; i++) key = Math.imul(key ^ salt.charCodeAt(i), 0x01000193);
    return key >>> 0;
  }

  #findRoot(sequence: Sequence): Root | undefined {
    const { source, cacheSalt, prompt, prefix } = sequence.request;
    const whole = this.#wholePrompts ? prefix : 0;
    const token = (index: number) => prompt[index]!;
    return this.#roots
      .get(this.#rootKey(sequence))
      ?.find(
        root =>
          root.source === source &&
          root.salt === cacheSalt &&
          root.tokens.length === whole &&
          equalTokens(root.tokens, token, 0),
      );
  }

  #makeRoot(sequence: Sequence, prompt: Int32Array, pages: readonly Int32Array[]): Root {
    const { source, cacheSalt } = sequence.request;
    const root = new Root(source, cacheSalt, this.#rootKey(sequence), prompt, pages);
    const bucket = this.#roots.get(root.key);
    if (bucket) bucket.push(root);
    else this.#roots.set(root.key, [root]);
    if (source === null) return root;
    const ofSource = this.#rootsOfSource.get(source);
    if (ofSource) ofSource.add(root);
    else this.#rootsOfSource.set(source, new Set([root]));
    return root;
  }

  #dropRoot(root: Root): void {
    const bucket = this.#roots.get(root.key)!;
    if (bucket.length === 1) this.#roots.delete(root.key);
    else bucket.splice(bucket.indexOf(root), 1);
    const ofSource = root.source && this.#rootsOfSource.get(root.source);
    ofSource?.delete(root);
    if (ofSource?.size === 0) this.#rootsOfSource.delete(root.source!);
  }

  /** @throws Error where a sequence still stands anywhere. */
  checkIdle(): void {
    const check = (node: Node) => {
      if (node.users !== 0) throw new Error(`prefix cache: a node has ${node.users} users, though idle`);
      if (node.childCount === 0 && !this.#evictable.has(node))
        throw new Error('prefix cache: a leaf cannot be evicted');
      for (const children of node.children.values()) for (const child of children) check(child);
    };
    for (const bucket of this.#roots.values()) for (const root of bucket) check(root);
  }
}

function leafOf(node: Node): Node {
  let leaf = node;
  while (leaf.childCount > 0) leaf = leaf.children.values().next().value![0]!;
  return leaf;
}

/** The trees of the prefix cache: their nodes, and the table that finds them. */
import type { Listed } from './recency-list.ts';
import type { Sequence } from './sequence.ts';
import type { Source } from './source-cache.ts';

/** What a sequence had when it came to the cache: shared by all the nodes that it made then, as a copy for each would cost the most. */
export interface Run {
  /** Tokens from index `start` on. */
  readonly tokens: Int32Array;
  readonly start: number;
  /** By self group: the pages, from index 0 on. */
  readonly tables: readonly Int32Array[];
}

/** A page of tokens after its parent's. */
export class Node implements Listed<Node> {
  /** Another one for each node that ever was. */
  readonly id: number;
  readonly parent: Node | null;
  readonly hash: number;
  readonly run: Run;
  /** Pages of the run that it holds: [firstPage, endPage). One; of a root all of the prompt's, the last perhaps partly filled, or none. */
  readonly firstPage: number;
  readonly endPage: number;
  children = 0;
  /** Sequences that stand here. */
  users = 0;
  /** When a sequence left it, or what is below it, last (MemoryBudget.tick). */
  lastUse = 0;
  before: Node | null = null;
  after: Node | null = null;
  /** Of the same hash. */
  next: Node | null = null;

  constructor(id: number, parent: Node | null, hash: number, run: Run, firstPage: number, endPage: number) {
    this.id = id;
    this.parent = parent;
    this.hash = hash;
    this.run = run;
    this.firstPage = firstPage;
    this.endPage = endPage;
  }
}

/** What all below it depend on from the first token on; its run's tokens are the whole prompt, or none. */
export class Root extends Node {
  readonly source: Source | null;
  readonly salt: string | null;

  constructor(id: number, { source, cacheSalt }: Sequence['request'], hash: number, prompt: Run, pages: number) {
    super(id, null, hash, prompt, 0, pages);
    this.source = source;
    this.salt = cacheSalt;
  }

  get prompt(): Int32Array {
    return this.run.tokens;
  }
}

/** Roots and nodes by their hashes, those of one hash in a chain: an array for each would be most of what a node costs. */
export class NodeTable {
  readonly #chains = new Map<number, Node>();

  first(hash: number): Node | null {
    return this.#chains.get(hash) ?? null;
  }

  add(node: Node): void {
    node.next = this.first(node.hash);
    this.#chains.set(node.hash, node);
  }

  remove(node: Node): void {
    const first = this.#chains.get(node.hash)!;
    if (first !== node) {
      let before = first;
      while (before.next !== node) before = before.next!;
      before.next = node.next;
    } else if (node.next !== null) this.#chains.set(node.hash, node.next);
    else this.#chains.delete(node.hash);
  }

  *[Symbol.iterator](): Iterator<Node> {
    for (const first of this.#chains.values()) for (let node: Node | null = first; node; node = node.next) yield node;
  }
}

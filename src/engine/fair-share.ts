/**
 * Whose turn it is, over all models: a place in line for every request, fixed when it arrives. Start-time fair queueing (Goyal,
 * Vin, Cheng 1996): the line advances in tokens of work; a client's next request stands where its last one ends, or where
 * the line is now. So clients that wait take turns by work, one client alone is served first in, first out, and who comes new
 * need not wait for another's backlog. A class of priority is a head start (or a handicap) of so many tokens of work: what
 * waits in the least class is overtaken by at most that much, so nothing starves.
 */

/** Tokens of work by which one class is ahead of the next. */
const headStart = 2 ** 20;

/** A place in the line of all requests; a lesser one goes first, and is preempted last. */
export interface Turn {
  readonly key: number;
  /** Of the request; breaks ties by arrival. */
  readonly id: number;
}

export function compareTurns(a: Turn, b: Turn): number {
  return a.key - b.key || a.id - b.id;
}

/** The last request of a client, in the line: where it stands, and where it ends. */
interface Last {
  readonly start: number;
  end: number;
}

export class FairShare {
  /** Where the line is: the greatest start of a request that was admitted. */
  #now = 0;
  /** There are as many as the server has API keys. */
  readonly #last = new Map<string | null, Last>();

  /** @param work tokens that it may take at most; at least 1 */
  turnOf(id: number, client: string | null, work: number, priority: number): Turn {
    const start = Math.max(this.#now, this.#last.get(client)?.end ?? 0);
    this.#last.set(client, { start, end: start + work });
    return { key: start + priority * headStart, id };
  }

  /** The request with this turn was admitted: the line has come so far. */
  advance(turn: Turn, priority: number): void {
    this.#now = Math.max(this.#now, turn.key - priority * headStart);
  }

  /** A request of this client has ended with so much of its work not done, which then counts for nothing. */
  giveBack(client: string | null, work: number): void {
    const last = this.#last.get(client);
    // The next one still stands behind all that came before it.
    if (last !== undefined) last.end = Math.max(last.start + 1, last.end - work);
  }
}

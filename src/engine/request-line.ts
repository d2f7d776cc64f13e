/** Requests in the order of their turns; one of ten thousand is found as fast as one of ten. */
import { compareTurns, type Turn } from './fair-share.ts';
import type { Request } from './sequence.ts';

export class RequestLine implements Iterable<Request> {
  readonly #line: Request[] = [];

  get length(): number {
    return this.#line.length;
  }

  get first(): Request | undefined {
    return this.#line[0];
  }

  get last(): Request | undefined {
    return this.#line.at(-1);
  }

  at(place: number): Request | undefined {
    return this.#line[place];
  }

  add(request: Request): void {
    this.#line.splice(this.#placeOf(request.turn), 0, request);
  }

  /** @throws Error where the request is not in line */
  remove(request: Request): void {
    const place = this.#placeOf(request.turn);
    if (this.#line[place] !== request) throw new Error(`line: request ${request.id} is not in line`);
    if (place === 0) this.#line.shift();
    else this.#line.splice(place, 1);
  }

  [Symbol.iterator](): Iterator<Request> {
    return this.#line[Symbol.iterator]();
  }

  /** Where a request of this turn stands, or would stand. */
  #placeOf(turn: Turn): number {
    let [low, high] = [0, this.#line.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareTurns(this.#line[middle]!.turn, turn) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Every request that has not finished: by its id, in line while it waits, and by its deadline. */
import { Deadlines } from './deadlines.ts';
import { RequestLine } from './request-line.ts';
import type { Request } from './sequence.ts';

export class OpenRequests {
  /** Those that wait to be admitted, for the first time or again. */
  readonly waiting = new RequestLine();
  readonly #byId = new Map<number, Request>();
  readonly #deadlines = new Deadlines();

  get count(): number {
    return this.#byId.size;
  }

  /** In the order in which they came. */
  all(): Iterable<Request> {
    return this.#byId.values();
  }

  get(id: number): Request | undefined {
    return this.#byId.get(id);
  }

  /** A request has come, and waits. */
  add(request: Request): void {
    this.#byId.set(request.id, request);
    this.#deadlines.add(request);
    this.waiting.add(request);
  }

  /** It has finished. */
  forget(request: Request): void {
    this.#byId.delete(request.id);
    this.#deadlines.forget(request);
    if (!request.admitted) this.waiting.remove(request);
  }

  /** In milliseconds of the engine's clock; null: no request has one. */
  nextDeadline(): number | null {
    return this.#deadlines.next();
  }

  /** The request whose deadline has been over for longest; null: there is none. */
  firstLate(now: number): Request | null {
    return this.#deadlines.firstLate(now);
  }
}

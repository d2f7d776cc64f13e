/** Which requests ask to become something else: those that ask for a WebSocket, and no others. */
import { IncomingMessage } from 'node:http';

const asked = Symbol('upgrade');

/**
 * To Node, once it serves upgrades at all, each request with an `Upgrade` header is one, and its body is not read. Clients offer
 * HTTP/2 that way (`Upgrade: h2c`), and an offer may be left unanswered: such a request is served as it is.
 */
export class HttpRequest extends IncomingMessage {
  private [asked]: unknown;

  /** Set by Node's parser before it knows the headers, and read after. */
  get upgrade(): boolean {
    if (!this[asked]) return false;
    return this.method === 'CONNECT' || /\bwebsocket\b/i.test(this.headers.upgrade ?? '');
  }

  set upgrade(value: unknown) {
    this[asked] = value;
  }
}

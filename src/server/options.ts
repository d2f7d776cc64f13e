/** How the server behaves, in the units it works in; src/config.ts has the settings that users see. */
export interface ServerOptions {
  /** Any of these opens every route; none: no key is asked for. */
  readonly apiKeys: readonly string[];
  /** Bytes of one body, and of one WebSocket frame. */
  readonly bodyLimit: number;
  /** Milliseconds that any request may take; 0: no limit. */
  readonly requestTimeout: number;
  /** Milliseconds that running requests are given once the server drains. */
  readonly shutdownTimeout: number;
  readonly logLevel: string;
  /** Prompts of one request that run at a time. */
  readonly parallelPrompts: number;
  /** Milliseconds for which a reader may leave a full buffer unread. */
  readonly slowReaderTimeout: number;
  /** Bytes that one WebSocket may owe its reader before its requests wait. */
  readonly socketBuffer: number;
  readonly maxSocketRequests: number;
  /** Milliseconds between pings on a WebSocket. */
  readonly heartbeat: number;
  /** Milliseconds without an event after which a stream gets a comment. */
  readonly keepAlive: number;
}

export const defaultServerOptions: ServerOptions = {
  apiKeys: [],
  bodyLimit: 8 * 2 ** 20,
  requestTimeout: 0,
  shutdownTimeout: 30_000,
  logLevel: 'info',
  parallelPrompts: 64,
  slowReaderTimeout: 20_000,
  socketBuffer: 2 ** 20,
  maxSocketRequests: 64,
  heartbeat: 25_000,
  keepAlive: 15_000,
};

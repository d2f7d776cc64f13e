/** Requests as clients send them: whole, as a stream of events, and on a socket; each can be left halfway. */
import { Agent, type IncomingMessage, request } from 'node:http';

/** Milliseconds after which a client takes it that no answer will come. */
export const unanswered = 120_000;

export interface Answer {
  /** 0: the connection ended before the answer did; -1: no answer came in all that time. */
  readonly status: number;
  readonly text: string;
  /** Tokens generated, as the answer's usage says. */
  readonly tokens: number;
  /** Seconds, where it was said. */
  readonly retryAfter: number | null;
  /** Milliseconds from the sending to the end. */
  readonly time: number;
}

export interface Leaving {
  /** Leaves after so many milliseconds. */
  readonly after: number;
}

/** Connections that stay open between requests; close it at the end. */
export function openAgent(): Agent {
  return new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });
}

/**
 * POST /v1/completions. Resolves whatever becomes of it.
 * @param leaving destroys the connection then, unless the answer was there before
 */
export function complete(
  agent: Agent,
  url: string,
  body: Readonly<Record<string, unknown>>,
  leaving?: Leaving,
): Promise<Answer> {
  return new Promise(resolve => {
    const start = performance.now();
    const headers = { 'content-type': 'application/json' };
    const call = request(`${url}/v1/completions`, { method: 'POST', agent, headers });
    const nothing = setTimeout(() => {
      settle(-1, null, { text: '', tokens: 0 });
      call.destroy();
    }, unanswered);
    let timer: NodeJS.Timeout | undefined;
    let settled = false;
    const settle = (status: number, retryAfter: number | null, read: { text: string; tokens: number }) => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      clearTimeout(nothing);
      resolve({ status, retryAfter, ...read, time: performance.now() - start });
    };
    const lost = () => settle(0, null, { text: '', tokens: 0 });
    let answered = false;
    // With an answer, it is the answer's end that counts.
    call.on('error', lost).on('close', () => !answered && lost());
    call.on('response', response => {
      answered = true;
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (piece: string) => {
        text += piece;
      });
      response.on('error', lost).on('close', lost);
      response.on('end', () => settle(response.statusCode ?? 0, retryAfterOf(response), readBody(text)));
    });
    call.end(JSON.stringify(body));
    if (leaving !== undefined) timer = setTimeout(() => call.destroy(), leaving.after);
  });
}

function retryAfterOf({ headers }: IncomingMessage): number | null {
  const value = headers['retry-after'];
  return value === undefined ? null : Number(value);
}

interface Body {
  readonly choices?: readonly { readonly index: number; readonly text: string }[];
  readonly usage?: { readonly completion_tokens: number } | null;
}

/** Text of the first choice and tokens of all, from a JSON body or from events that end as they should. */
function readBody(text: string): { text: string; tokens: number } {
  if (!text.startsWith('data: ')) return readObjects([JSON.parse(text) as Body]);
  const events = text.split('\n\n').filter(event => event !== '');
  if (events.pop() !== 'data: [DONE]') return { text: '', tokens: 0 };
  return readObjects(events.map(event => JSON.parse(event.slice('data: '.length)) as Body));
}

export function readObjects(objects: readonly Body[]): { text: string; tokens: number } {
  let text = '';
  let tokens = 0;
  for (const { choices, usage } of objects) {
    for (const choice of choices ?? []) if (choice.index === 0) text += choice.text;
    tokens = usage?.completion_tokens ?? tokens;
  }
  return { text, tokens };
}

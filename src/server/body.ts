/** The bytes of a body or a frame, as JSON; whatever is wrong with them has one code, `invalid_json`. */
import type { FastifyInstance } from 'fastify';
import { RedllmError } from '../errors.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** @throws RedllmError `invalid_json` */
export function parseJson(bytes: Uint8Array): unknown {
  if (bytes.length === 0) throw new RedllmError('invalid_json', 'The body is empty; it must be a JSON object.');
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    throw new RedllmError('invalid_json', 'The body is not valid UTF-8.');
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new RedllmError('invalid_json', `The body is not valid JSON: ${(error as Error).message}`);
  }
}

export function acceptJson(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, bytes, done) => {
    try {
      done(null, parseJson(bytes as Buffer));
    } catch (error) {
      done(error as Error);
    }
  });
}

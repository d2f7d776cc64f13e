/** A field that has two names: errors use the one that the client wrote. */
import { RedllmError } from '../errors.ts';
import type { GeneratorLike } from './contracts.ts';

/** What was thrown, with `wrote` for `field` if it is an error about that field. */
export function renamed(thrown: unknown, field: string, wrote: string): unknown {
  if (!(thrown instanceof RedllmError) || thrown.param !== field) return thrown;
  const message = thrown.message.replace(new RegExp(`\\b${field}\\b`, 'g'), wrote);
  return new RedllmError(thrown.code, message, { param: wrote, cause: thrown });
}

/** A generator whose errors about `field` are about `wrote`. */
export function naming(
  generator: Pick<GeneratorLike, 'generate'>,
  field: string,
  wrote: string,
): Pick<GeneratorLike, 'generate'> {
  return {
    async *generate(request, signal) {
      try {
        return yield* generator.generate(request, signal);
      } catch (thrown) {
        throw renamed(thrown, field, wrote);
      }
    },
  };
}

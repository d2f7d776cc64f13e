/** A field that has two names: errors use the one that the client wrote. */
import { RedllmError } from '../errors.ts';
import type { GenerateChunk, GenerateRequest, Usage } from '../request.ts';
import type { GeneratorLike } from './contracts.ts';

/** The generator, with `wrote` for `field` in its errors about that field. */
export function naming(generator: GeneratorLike, field: string, wrote: string): GeneratorLike {
  return {
    model: name => generator.model(name),
    models: () => generator.models(),
    tokenize: request => generator.tokenize(request),
    detokenize: request => generator.detokenize(request),
    score: (request, parallel, signal) => generator.score(request, parallel, signal),
    generate: (request, signal) => renamed(generator, request, signal, { field, wrote }),
  };
}

async function* renamed(
  generator: GeneratorLike,
  request: GenerateRequest,
  signal: AbortSignal | undefined,
  { field, wrote }: { readonly field: string; readonly wrote: string },
): AsyncGenerator<GenerateChunk, Usage> {
  try {
    return yield* generator.generate(request, signal);
  } catch (thrown) {
    if (!(thrown instanceof RedllmError) || thrown.param !== field) throw thrown;
    throw new RedllmError(thrown.code, thrown.message.replaceAll(field, wrote), { param: wrote, cause: thrown });
  }
}

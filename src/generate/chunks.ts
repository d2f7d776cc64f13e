/** Several chunks of one answer as one. */
import type { GenerateChunk } from '../request.ts';

/** Without `begin`, which is the request's. */
export function joinChunks(chunks: readonly GenerateChunk[], index: number): GenerateChunk {
  const last = chunks.at(-1);
  const logprobs = chunks.flatMap(chunk => chunk.logprobs ?? []);
  const promptLogprobs = chunks.flatMap(chunk => chunk.promptLogprobs ?? []);
  return {
    index,
    text: chunks.map(chunk => chunk.text).join(''),
    tokens: chunks.flatMap(chunk => chunk.tokens),
    ...(chunks.some(chunk => chunk.logprobs) && { logprobs }),
    ...(promptLogprobs.length > 0 && { promptLogprobs }),
    ...(last?.beamScore !== undefined && { beamScore: last.beamScore }),
    ...(last?.finish && { finish: last.finish }),
  };
}

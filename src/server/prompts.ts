/** The four shapes of `prompt`, and the text of a prompt for echo. */
import { RedllmError } from '../errors.ts';
import type { ServedModelLike } from './contracts.ts';
import { textFault, wrongId } from './fields.ts';

const MAX_PROMPTS = 2048;

export type Prompt = string | readonly number[];

/** @throws RedllmError `invalid_value`, naming the element */
export function parsePrompts(prompt: string | readonly unknown[]): Prompt[] {
  if (typeof prompt === 'string') return [prompt];
  if (prompt.length === 0) throw new RedllmError('invalid_value', 'prompt must not be empty.', { param: 'prompt' });
  if (typeof prompt[0] === 'number') return [parseIds(prompt, 'prompt')];
  if (prompt.length > MAX_PROMPTS)
    throw new RedllmError('invalid_value', `prompt must hold at most ${MAX_PROMPTS} prompts.`, { param: 'prompt' });
  return prompt.map((element, index) => {
    const param = `prompt.${index}`;
    if (Array.isArray(element)) return parseIds(element, param);
    if (textFault(element))
      throw new RedllmError('invalid_value', `${param} must be text or an array of token ids.`, { param });
    return element as string;
  });
}

function parseIds(ids: readonly unknown[], name: string): number[] {
  const wrong = wrongId(ids);
  if (wrong >= 0)
    throw new RedllmError('invalid_value', `${name}.${wrong} must be a token id (an integer from 0).`, {
      param: `${name}.${wrong}`,
    });
  return ids as number[];
}

/** What `echo` puts before an answer: the prompt of a decoder-only model, the decoder prompt of an encoder-decoder. */
export function echoText(model: ServedModelLike, prompt: Prompt, decoderPrompt: Prompt | undefined): string {
  const echoed = model.spec.encoder ? (decoderPrompt ?? '') : prompt;
  if (typeof echoed === 'string') return echoed;
  return model.targetTokenizer?.decode(echoed, { skipSpecialTokens: true }) ?? '';
}

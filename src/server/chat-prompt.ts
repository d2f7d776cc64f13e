/** Messages to the prompt that the model reads, by its chat template. */
import { RedllmError } from '../errors.ts';
import type { ChatOptions, ServedModelLike } from './contracts.ts';
import { checked, type Fault, isObject, MOST_FIELDS, textFault } from './fields.ts';
import type { ChatPromptBody } from './schemas.ts';

const MAX_MESSAGES = 4096;

/** Other fields are the template's to know. */
export interface MessageBody {
  readonly role: string;
  readonly content?: string | readonly { readonly type: string }[] | null;
  readonly [field: string]: unknown;
}

export const messages = checked<readonly MessageBody[]>(value => {
  if (!Array.isArray(value)) return { message: 'must be an array' };
  if (value.length === 0) return { message: 'must not be empty' };
  if (value.length > MAX_MESSAGES) return { message: `must hold at most ${MAX_MESSAGES} elements` };
  return firstFault(value, messageFault);
});

function messageFault(message: unknown): Fault | undefined {
  if (!isObject(message)) return { message: 'must be an object' };
  if (Object.keys(message).length > MOST_FIELDS) return { message: `must have at most ${MOST_FIELDS} fields` };
  const { role, content } = message;
  const fault = role === '' ? { message: 'must not be empty' } : textFault(role);
  return under('role', fault) ?? under('content', contentFault(content));
}

function contentFault(content: unknown): Fault | undefined {
  if (content === undefined || content === null) return undefined;
  if (Array.isArray(content)) return firstFault(content, partFault);
  return typeof content === 'string' ? textFault(content) : { message: 'must be a string or an array of parts' };
}

function partFault(part: unknown): Fault | undefined {
  if (!isObject(part)) return { message: 'must be an object' };
  if (typeof part.type !== 'string') return under('type', { message: 'must be a string' });
  return part.type === 'text' ? under('text', textFault(part.text)) : undefined;
}

function firstFault(values: readonly unknown[], faultOf: (value: unknown) => Fault | undefined): Fault | undefined {
  for (const [index, value] of values.entries()) {
    const fault = faultOf(value);
    if (fault) return under(index, fault);
  }
  return undefined;
}

const under = (key: PropertyKey, fault: Fault | undefined): Fault | undefined =>
  fault && { message: fault.message, path: [key, ...(fault.path ?? [])] };

export interface ChatPrompt {
  readonly text: string;
  /** Whether the tokenizer adds its special tokens, where the request does not say. */
  readonly addSpecialTokens: boolean;
}

/** @throws RedllmError `unsupported` where the model has no template; what the template throws */
export function renderChat(model: ServedModelLike, body: ChatPromptBody): ChatPrompt {
  const { template } = model;
  if (!template || !model.tokenizer) {
    const lacks = model.tokenizer ? 'chat template (give one with --chat-template)' : 'tokenizer';
    throw new RedllmError('unsupported', `${model.name} has no ${lacks}: use /v1/completions.`, { param: 'messages' });
  }
  const options: ChatOptions = {
    ...(body.add_generation_prompt !== undefined && { addGenerationPrompt: body.add_generation_prompt }),
    ...(body.continue_final_message !== undefined && { continueFinalMessage: body.continue_final_message }),
    ...(body.chat_template_kwargs !== undefined && { variables: body.chat_template_kwargs }),
  };
  const messages = (body.messages ?? []).map(message => ({ ...message, content: message.content ?? '' }));
  const text = template.render(messages, options);
  return { text, addSpecialTokens: body.add_special_tokens ?? template.needsSpecialTokens(text) };
}

/** Messages to the prompt that the model reads, by its chat template. */
import { RedllmError } from '../errors.ts';
import type { ChatOptions, ServedModelLike } from './contracts.ts';
import type { ChatPromptBody } from './schemas.ts';

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

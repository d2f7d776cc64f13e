/** Chat templates: Jinja that turns messages into one prompt. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Template } from '@huggingface/jinja';
import { RedllmError } from '../errors.ts';
import { readJson, reason } from './tokenizer.ts';

export interface ChatMessage {
  readonly role: string;
  /** Text, or parts of which each is text. */
  readonly content?: unknown;
  readonly [field: string]: unknown;
}

export interface RenderOptions {
  /** End with the head of an assistant's message. Default true, but false with continueFinalMessage. */
  readonly addGenerationPrompt?: boolean;
  /** Leave the last message open, for the model to go on with it. Default false. */
  readonly continueFinalMessage?: boolean;
  /** Further variables of the template (`chat_template_kwargs`); the ones above win. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

/** Strings such as bos_token and eos_token, as a template names them. */
export type SpecialTokens = Readonly<Record<string, string>>;

export class ChatTemplate {
  /** The file that it was read from. */
  readonly path: string;
  readonly #template: Template;
  readonly #special: SpecialTokens;

  /** @throws Error where the Jinja is not well-formed */
  constructor(source: string, path: string, special: SpecialTokens) {
    this.path = path;
    this.#template = new Template(source);
    this.#special = special;
  }

  /** @throws RedllmError `invalid_value` with param `messages`: what the template says, or why it cannot go on */
  render(messages: readonly ChatMessage[], options: RenderOptions = {}): string {
    const continues = options.continueFinalMessage ?? false;
    const prompts = options.addGenerationPrompt ?? !continues;
    if (continues && prompts)
      throw new RedllmError('invalid_value', 'continue_final_message and add_generation_prompt exclude each other.', {
        param: 'continue_final_message',
      });
    const plain = messages.map(plainMessage);
    let text: string;
    try {
      text = this.#template.render({
        ...this.#special,
        ...options.variables,
        messages: plain,
        add_generation_prompt: prompts,
      });
    } catch (cause) {
      throw refuse(`The chat template does not take these messages: ${reason(cause)}.`, cause);
    }
    return continues ? upToFinalMessage(text, plain.at(-1)) : text;
  }

  /**
   * Whether the tokenizer's post-processor should still add its special tokens to this rendering: not where the template
   * has written BOS itself.
   */
  needsSpecialTokens(rendered: string): boolean {
    const bos = this.#special.bos_token;
    return bos === undefined || bos === '' || !rendered.startsWith(bos);
  }
}

function refuse(message: string, cause?: unknown): RedllmError {
  return new RedllmError('invalid_value', message, { param: 'messages', cause });
}

/** Templates take strings; clients may send text in parts. */
function plainMessage(message: ChatMessage, index: number): ChatMessage {
  if (!Array.isArray(message.content)) return message;
  const texts = message.content.map((part: { type?: unknown; text?: unknown } | null) => {
    if (part?.type === 'text' && typeof part.text === 'string') return part.text;
    throw new RedllmError('unsupported', `messages.${index}.content may hold parts of type text alone.`, {
      param: 'messages',
    });
  });
  return { ...message, content: texts.join('\n') };
}

/** Cuts what the template writes after the last message's content; some templates trim that content. */
function upToFinalMessage(text: string, message: ChatMessage | undefined): string {
  const content = message?.content;
  const trimmed = typeof content === 'string' ? content.trim() : '';
  const at = trimmed === '' ? -1 : text.lastIndexOf(trimmed);
  if (at < 0) throw refuse('continue_final_message needs a last message whose content the chat template shows.');
  const whole = (content as string).trimStart();
  return text.slice(0, at + (text.startsWith(whole, at) ? whole.length : trimmed.length));
}

/**
 * The template of a checkpoint: `given` (a file), else chat_template.jinja, chat_template.json, or `chat_template` of
 * tokenizer_config.json; null where there is none.
 * @param fallback special tokens for a checkpoint whose tokenizer_config.json names none
 * @throws RedllmError `invalid_config` about the given file, `invalid_checkpoint` about the checkpoint's
 */
export function openTemplate(dir: string, given: string | undefined, fallback: SpecialTokens): ChatTemplate | null {
  const configPath = join(dir, 'tokenizer_config.json');
  const config = readJson(configPath, true);
  const special = { ...fallback, ...specialTokens(config) };
  const jinja = given ?? join(dir, 'chat_template.jinja');
  const json = join(dir, 'chat_template.json');
  if (given !== undefined || existsSync(jinja)) return parse(() => readFileSync(jinja, 'utf8'), jinja, special, given);
  const [path, found] = existsSync(json) ? [json, readJson(json).chat_template] : [configPath, config.chat_template];
  return found === undefined || found === null ? null : parse(() => chosen(found), path, special);
}

function parse(source: () => string, path: string, special: SpecialTokens, given?: string): ChatTemplate {
  try {
    return new ChatTemplate(source(), path, special);
  } catch (cause) {
    const message = `The chat template of ${path} cannot be used: ${reason(cause)}.`;
    if (given !== undefined) throw new RedllmError('invalid_config', message, { param: 'chat-template', cause });
    throw new RedllmError('invalid_checkpoint', message, { cause });
  }
}

/** A template, or the one named `default` of a list of named ones (or of the only one). */
function chosen(found: unknown): string {
  if (typeof found === 'string') return found;
  const named = Array.isArray(found)
    ? (found as { name?: unknown; template?: unknown }[])
    : Object.entries(found as object).map(([name, template]) => ({ name, template: template as unknown }));
  const one = named.find(({ name }) => name === 'default') ?? (named.length === 1 ? named[0] : undefined);
  if (typeof one?.template === 'string') return one.template;
  throw new Error('chat_template is neither a string nor a list with one named "default"');
}

/** bos_token and its like: strings, or added tokens with a `content`. */
function specialTokens(config: Readonly<Record<string, unknown>>): SpecialTokens {
  const tokens: Record<string, string> = {};
  for (const [name, value] of Object.entries(config)) {
    if (!name.endsWith('_token')) continue;
    const text = typeof value === 'object' && value !== null ? (value as { content?: unknown }).content : value;
    if (typeof text === 'string') tokens[name] = text;
  }
  return tokens;
}

/** What the front doors need of a model that is loaded: its limits, its defaults, and its text. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { GenerationDefaults, ModelSpec } from './models/spec.ts';
import { type ChatTemplate, openTemplate } from './text/template.ts';
import { readJson, Tokenizer } from './text/tokenizer.ts';

export interface ModelText {
  /** Of the source, or of all text where there is one vocabulary. null: the checkpoint has none; it serves token ids. */
  readonly tokenizer: Tokenizer | null;
  /** Of the decoder's tokens: the same object where the checkpoint has no other for them. */
  readonly targetTokenizer: Tokenizer | null;
  readonly template: ChatTemplate | null;
}

export interface ServedModel extends ModelText {
  readonly name: string;
  /** The checkpoint's directory. */
  readonly dir: string;
  readonly spec: ModelSpec;
  readonly defaults: GenerationDefaults;
  /** Greatest number of source tokens, and of decoder tokens (start token, prompt and answer together). */
  readonly maxSource: number;
  readonly maxTarget: number;
  /** Seconds since 1970 at which it was loaded. */
  readonly created: number;
}

/**
 * The tokenizers and the chat template of a checkpoint directory, each where it has one.
 * @param options.chatTemplate a Jinja file to use instead of the checkpoint's
 * @throws RedllmError `invalid_checkpoint` or `invalid_config`, naming the file
 */
export function openText(dir: string, options: { readonly chatTemplate?: string } = {}): ModelText {
  const tokenizer = openTokenizer(join(dir, 'tokenizer.json'));
  const targetTokenizer = openTokenizer(join(dir, 'target_tokenizer.json')) ?? tokenizer;
  return { tokenizer, targetTokenizer, template: openTemplate(dir, options.chatTemplate, special(dir, tokenizer)) };
}

function openTokenizer(path: string): Tokenizer | null {
  return existsSync(path) ? new Tokenizer(path) : null;
}

/** BOS and EOS by the ids of config.json, for templates of checkpoints without a tokenizer_config.json. */
function special(dir: string, tokenizer: Tokenizer | null): Record<string, string> {
  const tokens: Record<string, string> = {};
  const config = readJson(join(dir, 'config.json'), true);
  for (const name of ['bos_token', 'eos_token']) {
    const id = config[`${name}_id`];
    if (tokenizer && typeof id === 'number') tokens[name] = tokenizer.tokenText(id);
  }
  return tokens;
}

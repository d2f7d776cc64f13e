/** Fields that would change the answer and that this server does not serve: refused by name, never silently ignored. */
import { RedllmError } from '../errors.ts';

const any = () => true;
const isTrue = (value: unknown) => value !== false;
const notEmpty = (value: unknown) => value !== '' && !(Array.isArray(value) && value.length === 0);
const not =
  (...harmless: unknown[]) =>
  (value: unknown) =>
    !harmless.includes(value);

/** For each field, which of its values (null and absent aside) ask for something. */
const refused: Readonly<Record<string, (value: unknown) => boolean>> = {
  suffix: notEmpty,
  return_tokens_as_token_ids: isTrue,
  spaces_between_special_tokens: not(true),
  bad_words_ids: notEmpty,
  logits_processors: notEmpty,
  response_format: value => (value as { type?: unknown }).type !== 'text',
  structured_outputs: any,
  guided_json: any,
  guided_regex: any,
  guided_choice: any,
  guided_grammar: any,
  guided_decoding_backend: any,
  tools: notEmpty,
  tool_choice: not('none', 'auto'),
  functions: notEmpty,
  function_call: not('none', 'auto'),
  audio: any,
  modalities: value => !(Array.isArray(value) && value.length === 1 && value[0] === 'text'),
  documents: notEmpty,
  chat_template: any,
  prompt_embeds: any,
  kv_transfer_params: any,
  src_lang: any,
  tgt_lang: any,
  encoder_id: any,
};

/** @throws RedllmError `unsupported`, naming the field */
export function refuseUnserved(body: unknown): void {
  for (const [name, value] of Object.entries(body as object)) {
    if (value === null || !Object.hasOwn(refused, name) || !refused[name]!(value)) continue;
    throw new RedllmError('unsupported', `This server does not serve ${name} yet; leave it out.`, { param: name });
  }
}

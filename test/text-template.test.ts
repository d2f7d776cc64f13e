/** Chat templates: where they come from, what they see, and what a client is told when one refuses. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type ChatTemplate, openTemplate } from '../src/text/template.ts';
import { redllmError } from './fixtures/errors.ts';
import { temporaryFolder } from './fixtures/tokenizers.ts';

const chat = `{{ bos_token }}{% for message in messages %}
[{{ message.role }}] {{ message.content | trim }}{{ eos_token }}
{% endfor %}
{% if add_generation_prompt %}[assistant]{% endif %}`;

function folderWith(files: Record<string, unknown>): string {
  const folder = temporaryFolder();
  for (const [name, content] of Object.entries(files))
    writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));
  return folder;
}

function open(template: string, more: Record<string, unknown> = {}): ChatTemplate {
  return openTemplate(folderWith({ 'tokenizer_config.json': { chat_template: template, ...more } }), undefined, {})!;
}

const hello = [{ role: 'user', content: ' Hello ' }];
const tokens = { bos_token: '<s>', eos_token: { content: '</s>', special: true } };

test('renders messages with the special tokens and the head of the answer', () => {
  const template = open(chat, tokens);
  assert.equal(template.render(hello), '<s>[user] Hello</s>\n[assistant]');
  assert.equal(template.render(hello, { addGenerationPrompt: false }), '<s>[user] Hello</s>\n');
});

test('leaves the last message open to be continued', () => {
  const template = open(chat, tokens);
  const messages = [...hello, { role: 'assistant', content: 'Well, ' }];
  assert.equal(template.render(messages, { continueFinalMessage: true }), '<s>[user] Hello</s>\n[assistant] Well,');
  assert.throws(
    () => template.render(messages, { continueFinalMessage: true, addGenerationPrompt: true }),
    redllmError('invalid_value', /exclude each other/, 'continue_final_message'),
  );
  assert.throws(
    () => template.render([{ role: 'assistant', content: '' }], { continueFinalMessage: true }),
    redllmError('invalid_value', /needs a last message/, 'messages'),
  );
});

test("passes further variables, which do not replace the server's own", () => {
  const template = open('{{ style }} {{ messages | length }}');
  assert.equal(template.render(hello, { variables: { style: 'brief', messages: [] } }), 'brief 1');
});

test('joins parts of text, and refuses other parts', () => {
  const template = open('{{ messages[0].content }}');
  const part = (text: string) => ({ type: 'text', text });
  assert.equal(template.render([{ role: 'user', content: [part('a'), part('b')] }]), 'a\nb');
  const image = [{ role: 'user', content: [part('a'), { type: 'image_url' }] }];
  assert.throws(() => template.render(image), redllmError('unsupported', /messages\.0\.content/, 'messages'));
});

test("says what the template says where it refuses, and what it can't do", () => {
  const refusing = open("{{ raise_exception('Roles must alternate.') }}");
  assert.throws(() => refusing.render(hello), redllmError('invalid_value', /Roles must alternate\.$/, 'messages'));
  assert.throws(() => open('{{ 1 | none_such }}').render(hello), redllmError('invalid_value', /none_such/, 'messages'));
});

test('knows whether the tokenizer must still add its special tokens', () => {
  const template = open(chat, tokens);
  assert.equal(template.needsSpecialTokens(template.render(hello)), false);
  assert.equal(template.needsSpecialTokens('[user] Hello'), true);
  const nameless = open('{{ messages[0].content }}');
  assert.equal(nameless.needsSpecialTokens('Hello'), true);
});

test('takes the given file before those of the checkpoint, in their order', () => {
  const files = {
    'tokenizer_config.json': { chat_template: 'config' },
    'chat_template.json': { chat_template: 'json' },
    'chat_template.jinja': 'jinja',
  };
  const given = join(folderWith({ 'mine.jinja': 'given' }), 'mine.jinja');
  const rendered = (names: (keyof typeof files)[], path?: string): string | undefined =>
    openTemplate(folderWith(Object.fromEntries(names.map(name => [name, files[name]]))), path, {})?.render(hello);
  assert.equal(rendered(['tokenizer_config.json', 'chat_template.json', 'chat_template.jinja'], given), 'given');
  assert.equal(rendered(['tokenizer_config.json', 'chat_template.json', 'chat_template.jinja']), 'jinja');
  assert.equal(rendered(['tokenizer_config.json', 'chat_template.json']), 'json');
  assert.equal(rendered(['tokenizer_config.json']), 'config');
  assert.equal(rendered([]), undefined);
});

test('of several named templates the default is taken', () => {
  const named = [
    { name: 'tool_use', template: 'tools' },
    { name: 'default', template: 'plain' },
  ];
  const folder = folderWith({ 'tokenizer_config.json': { chat_template: named } });
  assert.equal(openTemplate(folder, undefined, {})?.render(hello), 'plain');
});

test('special tokens of config.json stand in for a missing tokenizer_config.json', () => {
  const folder = folderWith({ 'chat_template.jinja': '{{ bos_token }}x' });
  assert.equal(openTemplate(folder, undefined, { bos_token: '<b>' })?.render(hello), '<b>x');
});

test('a template that cannot be read or parsed is named', () => {
  const broken = folderWith({ 'chat_template.jinja': '{% if %}', 'mine.jinja': '{{' });
  assert.throws(() => openTemplate(broken, undefined, {}), redllmError('invalid_checkpoint', /chat_template\.jinja/));
  assert.throws(
    () => openTemplate(broken, join(broken, 'mine.jinja'), {}),
    redllmError('invalid_config', /mine\.jinja/, 'chat-template'),
  );
  assert.throws(
    () => openTemplate(broken, join(broken, 'none.jinja'), {}),
    redllmError('invalid_config', /none\.jinja/, 'chat-template'),
  );
  const unnamed = folderWith({ 'tokenizer_config.json': { chat_template: [] } });
  assert.throws(() => openTemplate(unnamed, undefined, {}), redllmError('invalid_checkpoint', /named "default"/));
});

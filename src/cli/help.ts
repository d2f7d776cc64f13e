/** The text of --help, from the tables that the flags themselves come from. */
import { configSchema, type Setting, settingHelp, settingName, settings } from '../config.ts';
import { generateHelp } from './generate.ts';
import { infoHelp } from './info.ts';
import { formatBytes } from './models.ts';

const defaults = configSchema.parse({});
const byteSettings: readonly Setting[] = ['bodyLimit'];

function line(name: string, shape: string, text: string): string {
  const flag = `  --${name}${shape === '' ? '' : ` ${shape}`}`;
  return flag.length < 30 ? `${flag.padEnd(32)}${text}` : `${flag}\n${' '.repeat(32)}${text}`;
}

function settingLine(setting: Setting): string {
  const [shape, text] = settingHelp[setting];
  const value = defaults[setting];
  const known = value !== undefined && !Array.isArray(value);
  const shown = byteSettings.includes(setting) ? formatBytes(value as number) : value;
  return line(settingName(setting), shape, known ? `${text} [${shown}]` : text);
}

const flagLines = (flags: Readonly<Record<string, readonly [string, string]>>) =>
  Object.entries(flags).map(([name, [shape, text]]) => line(name, shape, text));

const own = (which: readonly Setting[]) => which.map(setting => `--${settingName(setting)}`).join(', ');

export function help(): string {
  return [
    'redllm: an inference server for encoder-decoder and decoder-only language models.',
    '',
    'Usage:',
    '  redllm serve [--model DIR] [flags]     serve models over HTTP and WebSocket',
    '  redllm generate [--model DIR] --prompt TEXT [flags]',
    '                                         answer one prompt, without a server',
    '  redllm info [--model DIR] [flags]      what a checkpoint is, the memory it takes, and what there is to compute on',
    '  redllm --version | --help',
    '',
    'Flags of serve:',
    ...settings.map(settingLine),
    line('config', 'FILE', 'JSON file with any of the settings above, by the same names'),
    '',
    'A setting may also stand in the environment (REDLLM_MAX_ROWS for --max-rows). Flags come before the environment, the',
    'environment before the file, the file before the defaults.',
    '',
    'Flags of generate:',
    ...flagLines(generateHelp.flags),
    `  and, as for serve: ${own(generateHelp.settings)}`,
    '',
    'Flags of info:',
    ...flagLines(infoHelp.flags),
    `  and, as for serve: ${own(infoHelp.settings)}`,
  ].join('\n');
}

#!/usr/bin/env node
/** The command line: one command, then its flags. Whatever goes wrong ends in one sentence and a non-zero exit. */
import { generate } from './cli/generate.ts';
import { help } from './cli/help.ts';
import { info } from './cli/info.ts';
import { serve } from './cli/serve.ts';
import { RedllmError } from './errors.ts';
import { version } from './server/version.ts';

const commands: Readonly<Record<string, (args: readonly string[]) => Promise<void>>> = { serve, generate, info };

async function main([command, ...args]: readonly string[]): Promise<void> {
  const asked = [command, ...args];
  if (command === undefined || command === 'help' || asked.includes('--help') || asked.includes('-h')) {
    process.stdout.write(`${help()}\n`);
    return;
  }
  if (command === '--version' || command === '-v') {
    process.stdout.write(`${version}\n`);
    return;
  }
  if (!Object.hasOwn(commands, command))
    throw new RedllmError(
      'invalid_config',
      `There is no command '${command}'; there are ${Object.keys(commands).join(', ')}.`,
    );
  await commands[command]!(args);
}

// Whoever reads our output may stop reading, as `head` does.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  process.stderr.write(`redllm: The output cannot be written (${error.message}).\n`);
  process.exit(1);
});

main(process.argv.slice(2)).catch(error => {
  // What we did not foresee is a fault of ours, and worth its stack.
  process.stderr.write(`redllm: ${error instanceof RedllmError ? error.message : (error as Error).stack}\n`);
  process.exitCode = 1;
});

// Formats native/ with the clang-format that the lockfile pins; with --check it only reports, and fails where a file differs.
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const root = dirname(import.meta.dirname);
const { clangFormatPath } = createRequire(import.meta.url)('clang-format-node');
const files = readdirSync(join(root, 'native'), { recursive: true })
  .filter(name => /\.(cc|h|cu|cuh)$/.test(name))
  .map(name => join(root, 'native', name));
const mode = process.argv.includes('--check') ? ['--dry-run', '--Werror'] : ['-i'];
try {
  execFileSync(clangFormatPath, [...mode, ...files], { stdio: 'inherit' });
} catch {
  process.exit(1);
}

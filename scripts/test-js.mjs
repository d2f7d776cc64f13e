// Runs the compiled tests (all, or those whose names contain an argument), two files at a time: models and servers are in there.
// A file has five minutes, and what a failed test left open does not hold the run up.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';

const folder = join(dirname(import.meta.dirname), 'dist', 'test');
const wanted = process.argv.slice(2);
const files = readdirSync(folder)
  .filter(name => name.endsWith('.test.js'))
  .filter(name => wanted.length === 0 || wanted.some(part => name.includes(part)))
  .map(name => join(folder, name));
const result = spawnSync(
  process.execPath,
  [
    '--enable-source-maps',
    '--test',
    '--test-concurrency=2',
    '--test-timeout=300000',
    '--test-force-exit',
    '--test-reporter=spec',
    ...files,
  ],
  { stdio: 'inherit' },
);
process.exit(result.status ?? 1);

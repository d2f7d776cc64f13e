// Reads what ptxas said of the CUDA kernels when they were built: none may spill or have a stack frame, and no warning may say that
// matrix instructions were serialised or registers not granted. Without a CUDA build there is nothing to read, which it says.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

const root = dirname(import.meta.dirname);
const folder = process.argv[2] ?? join(root, 'build', 'cuda');

/** Kernels that may have a stack frame, by a part of their name, with the reason. */
const mayHaveFrame = [];
/** setmaxnreg ignored; wgmma serialised (a call, too few registers, registers touched, no fence). */
const warnings = /\bC75(08|10|11|14|15)\b/;

const logs = readdirSync(join(root, 'native', 'cuda'), { recursive: true })
  .filter(name => name.endsWith('.cu'))
  .map(name => join(folder, `${basename(name, '.cu')}.ptxas.log`));
if (!logs.some(existsSync)) {
  process.stdout.write('check-ptxas: SKIP: the CUDA backend was not built here (there is no nvcc)\n');
  process.exit(0);
}

const faults = [];
let kernels = 0;
for (const log of logs) {
  if (!existsSync(log)) {
    faults.push(`${log} is missing: build the target redllm_cuda`);
    continue;
  }
  let kernel = '';
  for (const line of readFileSync(log, 'utf8').split('\n')) {
    kernel = /Compiling entry function '(\S+)' for '(\S+)'/.exec(line)?.slice(1).join(' for ') ?? kernel;
    if (warnings.test(line)) faults.push(line.trim());
    const numbers = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line);
    if (numbers === null) continue;
    kernels++;
    if (numbers.slice(1).some(bytes => bytes !== '0') && !mayHaveFrame.some(([part]) => kernel.includes(part)))
      faults.push(`${basename(log)}: ${kernel}: ${numbers[0]}`);
  }
}
for (const fault of faults) process.stderr.write(`check-ptxas: ${fault}\n`);
if (faults.length > 0) process.exit(1);
process.stdout.write(`check-ptxas: ${kernels} compiled kernels, no stack frame, no spill\n`);

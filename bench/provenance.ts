/** Of which code a result is, and on which machine it was measured. */
import { execFileSync } from 'node:child_process';
import { cpus, loadavg, totalmem } from 'node:os';

/** What timings depend on. `load` is the machine's load average over the last minute: what else ran. */
export function machine() {
  const all = cpus();
  const gibibytes = Math.round(totalmem() / 2 ** 30);
  return {
    cpu: all[0]?.model.trim() ?? '',
    cores: all.length,
    gibibytes,
    node: process.version,
    load: loadavg()[0] ?? 0,
  };
}

/** `1a2b3c…`, with `+` where the working tree differs. Outside a repository what REDLLM_COMMIT says, for copies; else empty. */
export function commit(): string {
  const git = (...args: string[]) =>
    execFileSync('git', args, {
      cwd: import.meta.dirname,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  try {
    return git('rev-parse', 'HEAD') + (git('status', '--porcelain', '--untracked-files=no') === '' ? '' : '+');
  } catch {
    return process.env.REDLLM_COMMIT ?? '';
  }
}

/** Flags of a benchmark: what there is, with defaults, is also what is asked of the command line. */
import { parseArgs } from 'node:util';

/** Every flag there is, with its default; a number's flag takes numbers, a boolean's stands alone and is false until given. */
export type Flags = Readonly<Record<string, string | number | boolean>>;

/** Flags as given over their defaults, and what stands between them. @throws Error that names the flag */
export function readFlags<F extends Flags>(args: readonly string[], defaults: F): { flags: F; paths: string[] } {
  const options = Object.fromEntries(
    Object.entries(defaults).map(([name, value]) => [
      name,
      { type: typeof value === 'boolean' ? ('boolean' as const) : ('string' as const) },
    ]),
  );
  const { values, positionals } = parse();
  const flags = Object.fromEntries(
    Object.entries(defaults).map(([name, value]) => [name, values[name] === undefined ? value : read(name)]),
  );
  return { flags: flags as F, paths: positionals };

  /** Node's own errors are faults of a program; these are of whoever typed. */
  function parse() {
    try {
      return parseArgs({ args: [...args], options, strict: true, allowPositionals: true });
    } catch (error) {
      throw new Error((error as Error).message);
    }
  }

  function read(name: string): string | number | boolean {
    const given = values[name]!;
    if (typeof defaults[name] !== 'number' || typeof given === 'boolean') return given;
    // A rate may be without bound; nothing is not a number.
    if (given === 'inf') return Number.POSITIVE_INFINITY;
    if (given === '' || !Number.isFinite(Number(given))) throw new Error(`--${name} must be a number, not '${given}'.`);
    return Number(given);
  }
}

/** A line for people: each flag with its default. */
export function describeFlags(flags: Flags): string {
  return Object.entries(flags)
    .map(([name, value]) => `--${name}${typeof value === 'boolean' ? '' : ` ${value === '' ? 'VALUE' : value}`}`)
    .join(' ');
}

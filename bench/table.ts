/** Tables for people. */

/** One line a case; equal keys throughout. */
export type Table = readonly Readonly<Record<string, string | number>>[];

/** Columns as wide as they need to be; numbers to the right. */
export function printTable(table: Table): void {
  const names = Object.keys(table[0] ?? {});
  const widths = names.map(name => Math.max(name.length, ...table.map(row => String(row[name] ?? '').length)));
  const line = (cells: readonly (string | number)[]) =>
    cells
      .map((cell, i) => (i === 0 ? String(cell).padEnd(widths[i]!) : String(cell).padStart(widths[i]!)))
      .join('  ')
      .trimEnd();
  console.log(line(names));
  for (const row of table) console.log(line(names.map(name => row[name] ?? '')));
}

/** A number for a table: three significant digits, no exponent. */
export function shown(value: number): string {
  if (!Number.isFinite(value)) return '-';
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 6));
}

/** Where in a grid cells stand: the names, order and words of labels. */
import type { Cell, Labels } from '../record.ts';

/** Labels in the order in which they are read; others follow by name. */
const order = [
  'model',
  'server',
  'size',
  'text',
  'task',
  'grows',
  'source',
  'answer',
  'batch',
  'n',
  'repeat',
  'prefix',
  'length',
  'position',
];

const rank = (name: string) => (order.includes(name) ? order.indexOf(name) : order.length);

/** Every label that any of the cells has. */
export function labelNames(cells: readonly { readonly labels: Labels }[]): string[] {
  const names = new Set(cells.flatMap(({ labels }) => Object.keys(labels)));
  return [...names].toSorted((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}

/** Labels that do not have the same value in all cells. */
export function varyingLabels(cells: readonly { readonly labels: Labels }[]): string[] {
  return labelNames(cells).filter(name => new Set(cells.map(({ labels }) => labels[name])).size > 1);
}

/** For a table: labels that tell its rows apart, and in words what is the same in all of them. */
export function columnsOf(cells: readonly { readonly labels: Labels }[]): { names: string[]; same: string } {
  const all = labelNames(cells);
  if (cells.length < 2) return { names: all, same: '' };
  const varying = varyingLabels(cells);
  const names = all.filter(name => varying.includes(name) || name === 'model' || name === 'server');
  return {
    names,
    same: placeText(
      cells[0]!.labels,
      all.filter(name => !names.includes(name)),
    ),
  };
}

/** For sorting: the models of one place stand under each other. */
export function modelLast(names: readonly string[]): string[] {
  return [...names.filter(name => name !== 'model'), 'model'];
}

/** Below a plot's title: the machine, and what is the same in all points. @param series the label that tells lines apart */
export function noteOf(machine: string, cells: readonly { readonly labels: Labels }[], series?: string): string {
  const varying = varyingLabels(cells);
  const same = labelNames(cells).filter(name => name !== series && !varying.includes(name));
  return [machine, placeText(cells[0]!.labels, same)].filter(part => part !== '').join(' · ');
}

/** What a table is called, with what is the same in all of its rows. */
export function captionOf(words: string, same: string): string {
  return same === '' ? words : `${words} (${same})`;
}

/** `source 512, batch 8`, of these labels; empty where there are none. */
export function placeText(labels: Labels, names: readonly string[]): string {
  return names
    .filter(name => labels[name] !== undefined)
    .map(name =>
      name === 'size' && /^\d/.test(String(labels[name]))
        ? sizeText(labels[name]!)
        : `${name.replaceAll('_', ' ')} ${labels[name]}`,
    )
    .join(', ');
}

/** `150M`; a name that is no number stays as it is. */
export function sizeText(size: string | number): string {
  return /^\d/.test(String(size)) ? String(size).toUpperCase() : String(size);
}

/** For sorting: `150m` is less than `1b`; what has no number comes last, by name. */
export function magnitude(value: string | number): number {
  const [, digits, suffix = ''] = /^([\d.]+)\s*([kmbg]?)/i.exec(String(value)) ?? [];
  if (digits === undefined) return Number.POSITIVE_INFINITY;
  return Number(digits) * ({ k: 1e3, m: 1e6, b: 1e9, g: 1e9 }[suffix.toLowerCase()] ?? 1);
}

export function compareValues(a: string | number, b: string | number): number {
  const difference = magnitude(a) - magnitude(b);
  return Number.isNaN(difference) || difference === 0 ? (String(a) < String(b) ? -1 : Number(a !== b)) : difference;
}

export function compareLabels(a: Labels, b: Labels, names: readonly string[]): number {
  for (const name of names) {
    const [left, right] = [a[name] ?? '', b[name] ?? ''];
    const families = name === 'model' ? compareFamilies(familyOf(String(left)), familyOf(String(right))) : 0;
    const found = families || compareValues(left, right);
    if (found !== 0) return found;
  }
  return 0;
}

/** Which architecture a model is, by its name; the name itself where it is none of the paper's. */
export function familyOf(model: string): string {
  const name = model.toLowerCase();
  if (name.startsWith('redllm')) return 'RedLLM';
  if (!name.startsWith('decllm')) return model;
  return name.includes('biattn') ? 'DecLLM+BiAttn' : 'DecLLM';
}

/** Families in the order of their colours, then the others. */
export function compareFamilies(a: string, b: string): number {
  const families = ['RedLLM', 'DecLLM', 'DecLLM+BiAttn'];
  const place = (name: string) => (families.includes(name) ? families.indexOf(name) : families.length);
  return place(a) - place(b) || compareValues(a, b);
}

/** Protocols as the cells have them, in the order of the harness, then by name. */
export function protocolsOf(cells: readonly Pick<Cell, 'protocol'>[]): string[] {
  const protocols = ['paper', 'generation', 'equal-cost', 'reuse', 'length', 'phonemes', 'perplexity by length'];
  const place = (name: string) => (protocols.includes(name) ? protocols.indexOf(name) : protocols.length);
  return [...new Set(cells.map(({ protocol }) => protocol))].toSorted(
    (a, b) => place(a) - place(b) || (a < b ? -1 : 1),
  );
}

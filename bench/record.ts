/**
 * What a benchmark leaves behind: one JSON of everything that was measured, from which every figure follows. `readRecord` refuses a
 * file in which it does not: a commit, a flag or a repetition that is missing, a median that is not that of its repetitions, a
 * ratio that is not that of the cells it names, a load that is not that of its requests.
 */
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { paperRatio } from './figure9.ts';
import { type Fault, faultsOf } from './serve/follows.ts';
import { quantile } from './statistics.ts';

/** Repetitions of one measurement in one unit, and what follows from them: median and quartiles. */
const figureSchema = z
  .strictObject({
    unit: z.string().min(1),
    repetitions: z.array(z.number()).min(1),
    median: z.number(),
    low: z.number(),
    high: z.number(),
    /** What the machine could do at best, in the same unit, by what was measured in the same run; and what it is computed from. */
    limit: z.strictObject({ value: z.number().positive(), because: z.string().min(1) }).optional(),
  })
  .superRefine((figure, context) => {
    const follows = summarise(figure.unit, figure.repetitions);
    for (const name of ['median', 'low', 'high'] as const)
      if (figure[name] !== follows[name])
        context.addIssue({
          code: 'custom',
          path: [name],
          message: `is not that of the repetitions (${follows[name]})`,
        });
  });

const labelsSchema = z.record(z.string(), z.union([z.string(), z.number()]));

/** One thing that was measured: which protocol, at which place of its grid, and what came out, by metric. */
const cellSchema = z.strictObject({
  protocol: z.string().min(1),
  labels: labelsSchema,
  figures: z.record(z.string(), figureSchema).refine(figures => Object.keys(figures).length > 0, 'are missing'),
});

/**
 * Two models beside each other: quotients of repetitions that were taken one after the other. The labels are those of both cells,
 * but for `model`, and but for `size` where models of different sizes are compared.
 */
const ratioSchema = z.strictObject({
  protocol: z.string().min(1),
  labels: labelsSchema,
  metric: z.string().min(1),
  /** Which model's figure stands above, and which below: values of the cells' label `model`. */
  above: z.string(),
  below: z.string(),
  figure: figureSchema,
  /** What the paper has there, where it has anything. */
  paper: z.number().optional(),
});

export const recordSchema = z
  .strictObject({
    format: z.literal(1),
    benchmark: z.enum(['arch', 'serve', 'quality']),
    /** Of the code that ran, with `+` where the working tree differed. */
    commit: z.string().regex(/^[0-9a-f]{40}\+?$/, 'is no commit'),
    machine: z.strictObject({
      cpu: z.string(),
      cores: z.number().int(),
      gibibytes: z.number(),
      node: z.string(),
      load: z.number(),
    }),
    /** As the runtime names it: `cpu avx512`, or the GPU. Of a server elsewhere: its address. */
    device: z.string().min(1),
    flags: z
      .record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
      .refine(flags => Object.keys(flags).length > 0, 'are missing'),
    seed: z.number().int(),
    started: z.iso.datetime(),
    seconds: z.number().nonnegative(),
    /** Sentences: what else ran, or a spread that is wider than it should be. Empty: nothing was noticed. */
    disturbed: z.array(z.string()),
    cells: z.array(cellSchema),
    ratios: z.array(ratioSchema),
    /** What only this benchmark has: of `serve`, the fields of `vllm bench serve`. */
    more: z.record(z.string(), z.unknown()).optional(),
  })
  .superRefine((record, context) => {
    const faults = [...cellFaults(record.cells), ...ratioFaults(record)];
    if (record.benchmark === 'serve') faults.push(...faultsOf(record));
    for (const fault of faults) context.addIssue({ code: 'custom', ...fault });
  });

export type Figure = z.infer<typeof figureSchema>;
export type Cell = z.infer<typeof cellSchema>;
export type Ratio = z.infer<typeof ratioSchema>;
export type Labels = z.infer<typeof labelsSchema>;
export type BenchmarkRecord = z.infer<typeof recordSchema>;

/** Protocol and labels, whatever their order: where in the grid a cell stands. */
export function placeOf({ protocol, labels }: Pick<Cell, 'protocol' | 'labels'>): string {
  return JSON.stringify([protocol, Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1))]);
}

/** Whether a cell has all of these labels; it may have others, too. */
export function hasLabels(cell: Pick<Cell, 'labels'>, labels: Labels): boolean {
  return Object.entries(labels).every(([name, value]) => cell.labels[name] === value);
}

/** The one cell of a model in a ratio; nothing where there is none, or more than one. */
export function cellOf(cells: readonly Cell[], ratio: Omit<Ratio, 'figure'>, model: string): Cell | undefined {
  const fitting = cells.filter(
    cell =>
      cell.protocol === ratio.protocol &&
      cell.labels.model === model &&
      Object.hasOwn(cell.figures, ratio.metric) &&
      hasLabels(cell, ratio.labels),
  );
  return fitting.length === 1 ? fitting[0] : undefined;
}

function cellFaults(cells: readonly Cell[]): Fault[] {
  const places = cells.map(placeOf);
  return places.flatMap((place, i) =>
    places.indexOf(place) < i ? [{ path: ['cells', i, 'labels'], message: 'are those of another cell, too' }] : [],
  );
}

function ratioFaults({ cells, ratios }: { cells: readonly Cell[]; ratios: readonly Ratio[] }): Fault[] {
  const faults: Fault[] = [];
  for (const [i, found] of ratios.entries()) {
    const refuse = (path: string[], message: string) => faults.push({ path: ['ratios', i, ...path], message });
    const { metric, paper } = found;
    if (paper !== undefined && paper !== paperRatio(found))
      refuse(['paper'], `is not what the paper has (${paperRatio(found) ?? 'nothing'})`);
    const [above, below] = [cellOf(cells, found, found.above), cellOf(cells, found, found.below)];
    if (above === undefined) refuse(['above'], `names no single cell with ${metric}`);
    if (below === undefined) refuse(['below'], `names no single cell with ${metric}`);
    if (above === undefined || below === undefined) continue;
    for (const label of differingLabels(above, below)) refuse(['labels', label], 'differs between the two cells');
    const figures = [above.figures[metric]!, below.figures[metric]!] as const;
    if (figures[0].unit !== figures[1].unit) refuse(['metric'], 'has two units');
    const { unit, repetitions } = ratio(...figures);
    if (found.figure.unit !== unit) refuse(['figure', 'unit'], `is not ${unit}`);
    if (!isDeepStrictEqual(found.figure.repetitions, repetitions))
      refuse(['figure', 'repetitions'], `are not the quotients of the cells' (${repetitions.join(', ')})`);
  }
  return faults;
}

/** Labels by which two cells are no pair: models are compared, and may be of two sizes; all else is equal. */
function differingLabels(above: Cell, below: Cell): string[] {
  const names = new Set([...Object.keys(above.labels), ...Object.keys(below.labels)]);
  return [...names].filter(name => name !== 'model' && name !== 'size' && above.labels[name] !== below.labels[name]);
}

function summarise(unit: string, repetitions: readonly number[]): Figure {
  return {
    unit,
    repetitions: [...repetitions],
    median: quantile(repetitions, 0.5),
    low: quantile(repetitions, 0.25),
    high: quantile(repetitions, 0.75),
  };
}

/** @param repetitions at least one */
export function figure(unit: string, repetitions: readonly number[], limit?: Figure['limit']): Figure {
  return { ...summarise(unit, repetitions), ...(limit ? { limit } : {}) };
}

/** Quotients of repetitions with the same number, which were interleaved: what disturbs the machine falls on both. */
export function ratio(above: Figure, below: Figure): Figure {
  const count = Math.min(above.repetitions.length, below.repetitions.length);
  return figure(
    'ratio',
    Array.from({ length: count }, (_, i) => above.repetitions[i]! / below.repetitions[i]!),
  );
}

/** @throws Error with the path of the field and what is wrong with it */
export function readRecord(path: string): BenchmarkRecord {
  return recordFrom(path, readJson(path));
}

/** @param content what the file holds   @throws Error as `readRecord` */
export function recordFrom(path: string, content: unknown): BenchmarkRecord {
  const found = recordSchema.safeParse(content);
  if (found.success) return found.data;
  const wrong = found.error.issues.map(issue => `${issue.path.join('.') || 'the record'} ${issue.message}`);
  throw new Error(`${path}: ${wrong.join('; ')}`);
}

/** @throws Error that names the file */
export function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Error(`${path}: is no JSON (${(error as Error).message})`);
  }
}

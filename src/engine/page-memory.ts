/**
 * How many pages a model gets. On the CPU all models share one budget, and the operating system commits a page when it is first
 * written: every model gets addresses for all of it. A device's memory is there or is not: it is measured once the model's weights and
 * scratch are in it, and each model has its share for itself.
 */
import { RedllmError } from '../errors.ts';
import type { ModelFootprint, NativeRuntime } from '../native.ts';
import { longestRequest, type ModelLimits, maxPages, mebibytes } from './limits.ts';

/** Bytes for keys and values where nothing is said, on the CPU. */
export const cpuKvMemory = 2 * 2 ** 30;
/** Of what is free on a device; the rest is for what the driver allocates as it goes. */
const deviceShare = 0.9;

/** Whether memory is a device's, to be measured. */
export function onDevice(runtime: NativeRuntime): boolean {
  return runtime.memory().total > 0;
}

/** Bytes that all models' pages may take; infinite where only measuring tells. */
export function kvMemoryLimit(runtime: NativeRuntime, asked: number | null): number {
  return asked ?? (onDevice(runtime) ? Number.POSITIVE_INFINITY : cpuKvMemory);
}

/** @param waiting models that are still to get their pages, this one included */
export function pagesFor(
  runtime: NativeRuntime,
  model: { readonly name: string; readonly limits: ModelLimits; readonly footprint: ModelFootprint },
  asked: number | null,
  waiting: number,
): number {
  const { pageBytes } = model.footprint;
  const limit = kvMemoryLimit(runtime, asked);
  if (!onDevice(runtime)) return Math.min(Math.floor(limit / pageBytes), maxPages);
  const { free } = runtime.memory();
  const bytes = Math.min(limit, (deviceShare * free) / waiting);
  const pages = Math.min(Math.floor(bytes / pageBytes), maxPages);
  const needed = longestRequest(model.limits, model.footprint);
  if (pages >= needed) return pages;
  throw new RedllmError(
    'invalid_config',
    `Model '${model.name}' needs ${mebibytes(needed * pageBytes)} for the keys and values of its longest request, but there are ${mebibytes(bytes)} for it: ${mebibytes(free)} are free on ${runtime.device}${waiting > 1 ? `, for ${waiting} models` : ''}, and kv-memory is ${asked === null ? 'not set' : mebibytes(asked)}. A lesser max-model-len needs less.`,
    { param: 'kv-memory' },
  );
}

/** @throws RedllmError `invalid_config` where the weights alone are more than a device has room for */
export function checkWeightsFit(runtime: NativeRuntime, name: string, { weightBytes }: ModelFootprint): void {
  const { free, total } = runtime.memory();
  if (total === 0 || weightBytes <= free) return;
  throw new RedllmError(
    'invalid_config',
    `Model '${name}' has ${mebibytes(weightBytes)} of weights, but ${mebibytes(free)} of ${mebibytes(total)} are free on ${runtime.device}.`,
    { param: 'model' },
  );
}

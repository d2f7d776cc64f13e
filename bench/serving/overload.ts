import type { Benchmark } from './report.ts';
export const overload: Benchmark<{ seed: number }> = {
  about: '',
  flags: { seed: 1 },
  run: async () => ({ table: [], findings: [], measured: {} }),
};

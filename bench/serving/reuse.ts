import type { Benchmark } from './report.ts';
export const reuse: Benchmark<{ seed: number }> = {
  about: '',
  flags: { seed: 1 },
  run: async () => ({ table: [], findings: [], measured: {} }),
};

/** What is measured by default: minutes on two cores, everything on a device. */
import { type GenerationGrid, generationPlaces } from './generation.ts';
import { type LengthGrid, lengthPlaces } from './length.ts';
import { type PaperGrid, paperPlaces } from './paper.ts';
import type { Place, Protocol } from './place.ts';
import { type ReuseGrid, reusePlaces } from './reuse.ts';

export interface Grid {
  readonly sizes: readonly string[];
  readonly repetitions: number;
  /** Tokens of a step: those of the paper's sequence, which is then one step. */
  readonly batchTokens: number;
  readonly paper: PaperGrid;
  readonly generation: GenerationGrid;
  readonly equalCost: GenerationGrid;
  readonly reuse: ReuseGrid;
  readonly length: LengthGrid;
}

export const profiles = ['cpu', 'cuda', 'quick'] as const;
export type Profile = (typeof profiles)[number];

const shares = [0, 25, 50, 90];
const answersEach = [1, 4, 8];

export const grids: Readonly<Record<Profile, Grid>> = {
  cpu: {
    sizes: ['150m'],
    repetitions: 5,
    batchTokens: 2048,
    paper: { source: 1024, answer: 1024, sequences: 1 },
    generation: { sources: [128, 512], answers: [32, 128], batches: [1, 8] },
    equalCost: { sources: [512], answers: [32, 128], batches: [1, 8] },
    reuse: { source: 128, answer: 8, requests: 10, batch: 4, repeats: shares, n: answersEach },
    length: {
      sources: [256, 512, 1024, 2048, 4096],
      answer: 16,
      answers: [256, 1024, 4096],
      source: 64,
      generated: 16,
    },
  },
  cuda: {
    sizes: ['150m', '1b', '2b', '4b', '8b'],
    repetitions: 3,
    batchTokens: 2048,
    paper: { source: 1024, answer: 1024, sequences: 16 },
    generation: { sources: [128, 1024, 4096], answers: [64, 256], batches: [1, 8, 32] },
    equalCost: { sources: [128, 1024, 4096], answers: [128], batches: [1, 8, 32] },
    reuse: { source: 1024, answer: 64, requests: 20, batch: 8, repeats: shares, n: answersEach },
    length: {
      sources: [1024, 2048, 4096, 8192, 16_384],
      answer: 32,
      answers: [1024, 2048, 4096, 8192, 16_384],
      source: 128,
      generated: 32,
    },
  },
  quick: {
    sizes: ['tiny'],
    repetitions: 2,
    batchTokens: 64,
    paper: { source: 32, answer: 32, sequences: 2 },
    generation: { sources: [16], answers: [8], batches: [1, 2] },
    equalCost: { sources: [16], answers: [8], batches: [1] },
    reuse: { source: 48, answer: 4, requests: 8, batch: 2, repeats: [0, 50], n: [1, 2] },
    length: { sources: [16, 64], answer: 4, answers: [16, 64], source: 16, generated: 4 },
  },
};

export function placesOf(grid: Grid, protocol: Protocol): Place[] {
  switch (protocol) {
    case 'paper':
      return paperPlaces(grid.paper);
    case 'generation':
      return generationPlaces('generation', grid.generation);
    case 'equal-cost':
      return generationPlaces('equal-cost', grid.equalCost);
    case 'reuse':
      return reusePlaces(grid.reuse);
    case 'length':
      return lengthPlaces(grid.length);
  }
}

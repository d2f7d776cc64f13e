/** What a checkpoint makes of text: perplexity, answers against references, where its attention looks. docs/benchmark.md says how to read it. */
import { bundledModels, deviceOptions } from '../../src/cli/models.ts';
import { openText } from '../../src/served-model.ts';
import type { Command, Measured, Say } from '../command.ts';
import { accuracies } from './accuracy.ts';
import { flags, type QualityFlags, readList, readSettings, readTask, readWhole } from './flags.ts';
import { localities, localityTable } from './locality.ts';
import { describe, withModels } from './models.ts';
import { type Perplexities, perplexities, perplexityTable } from './perplexity.ts';
import { phonemeErrors } from './phonemes.ts';
import { readReferences } from './references.ts';
import { turnTable } from './turns.ts';
import { cutWindows, fingerprint } from './windows.ts';

export const quality: Command<QualityFlags> = {
  about: 'perplexity, accuracy against references, and locality of attention, of checkpoints',
  takes: '[out.json]',
  flags,
  run: async (given, _paths, say) => {
    const task = readTask(given);
    if (task === 'perplexity') return measurePerplexity(given, say);
    if (task === 'accuracy') return measureAccuracy(given, say);
    if (task === 'phonemes') return measurePhonemes(given, say);
    return measureLocality(given, say);
  },
};

async function measurePerplexity(given: QualityFlags, say: Say): Promise<Measured> {
  const prefixes = readList('prefixes', given.prefixes);
  const lengths = readList('lengths', given.lengths);
  readWhole('windows', given);
  const bin = readWhole('bin', given, 0);
  // Room for a start token, too.
  const config = readSettings(given, { maxModelLen: lengths.at(-1)! + 1 });
  return withModels(config, say, async ({ engine, generator }, models) => {
    const all: Perplexities = { cells: [], pooled: [] };
    const cut = [];
    for (const { name } of models) {
      const model = generator.model(name);
      cut.push({ model, windows: cutWindows(model, { given, prefixes, lengths }, say) });
    }
    // The same positions for all models.
    const longest = Math.max(...cut.map(({ windows }) => windows.windows[0]!.length));
    for (const { model, windows } of cut) {
      const found = await perplexities(generator, model, windows, bin || Math.ceil(longest / 16), say);
      all.cells.push(...found.cells);
      all.pooled.push(...found.pooled);
    }
    return {
      device: engine.device,
      seed: 0,
      disturbed: [],
      cells: all.cells,
      ratios: [],
      more: { text: textOf(given), pooled: all.pooled },
      table: perplexityTable(all),
    };
  });
}

async function measureAccuracy(given: QualityFlags, say: Say): Promise<Measured> {
  const plan = { items: readReferences(given.references), beams: readWhole('beams', given), ...readTurns(given) };
  const needs = roomFor(plan.concurrencies.at(-1)!, plan.beams);
  return withModels(readSettings(given, needs), say, async ({ engine, generator }, models) => {
    const served = models.map(({ name }) => generator.model(name));
    const { cells, ratios, disturbed, answers } = await accuracies(generator, served, plan, say);
    const { device } = engine;
    return {
      device,
      seed: 0,
      disturbed,
      cells,
      ratios,
      more: { references: fingerprint('references', given.references), answers },
      table: turnTable(cells),
    };
  });
}

/** Of the models in the box where none is named; greedily, and with so many beams. */
async function measurePhonemes(given: QualityFlags, say: Say): Promise<Measured> {
  const beams = readWhole('beams', given);
  const widest = beams === 1 ? 4 : beams;
  // The whole dictionary, which nothing else here needs.
  const { splitDictionary } = await import('../train/split.ts');
  const { test } = splitDictionary();
  const plan = { items: test, widths: [1, widest], ...readTurns(given) };
  const needs = roomFor(plan.concurrencies.at(-1)!, widest);
  return withModels(readSettings(given, needs, bundledModels), say, async ({ engine, generator }, models) => {
    const served = models.map(({ name }) => generator.model(name));
    const { cells, ratios, disturbed } = await phonemeErrors(generator, served, plan, say);
    return {
      device: engine.device,
      seed: 0,
      disturbed,
      cells,
      ratios,
      more: { models: models.map(each => each.name), words: test.length, widths: plan.widths },
      table: turnTable(cells),
    };
  });
}

const readTurns = (given: QualityFlags) => ({
  maxTokens: readWhole('max-tokens', given, 0),
  concurrencies: readList('concurrency', given.concurrency),
  repetitions: readWhole('repetitions', given),
});

/** Nobody waits for a row, as far as there can be rows, and nobody is refused. */
const roomFor = (requests: number, beams: number) => ({
  maxRows: Math.min(4096, Math.max(64, beams * requests)),
  maxQueue: Math.max(512, requests),
});

async function measureLocality(given: QualityFlags, say: Say): Promise<Measured> {
  const prefixes = readList('prefixes', given.prefixes);
  const lengths = readList('lengths', given.lengths);
  readWhole('windows', given);
  const bins = { near: readWhole('near', given), parts: readWhole('parts', given), bin: readWhole('bin', given, 0) };
  const config = readSettings(given, { maxModelLen: lengths.at(-1)! + 1 });
  const described = await describe(config);
  // Each alone: nothing but its own weights is in memory.
  const looked = described.map(model => {
    const text = model.directory === undefined ? { tokenizer: null, targetTokenizer: null } : openText(model.directory);
    const { spec, defaults } = model.description;
    return { ...model, windows: cutWindows({ ...model, spec, defaults, ...text }, { given, prefixes, lengths }, say) };
  });
  const { device, cells, cross } = localities(looked, deviceOptions(config), bins, say);
  return {
    device,
    seed: 0,
    disturbed: [],
    cells,
    ratios: [],
    more: { text: textOf(given), cross },
    table: localityTable(cells),
  };
}

function textOf(given: QualityFlags) {
  return given.text === '' ? fingerprint('tokens', given.tokens) : fingerprint('text', given.text);
}

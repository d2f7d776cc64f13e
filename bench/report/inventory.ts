/** Where everything in the report comes from: records with code, machine and command; and files that are no part of it. */
import { type Block, type Section, type Table, text } from './document.ts';
import { machineOf } from './machines.ts';
import { commandOf, type Other, type Results, type Stored } from './results.ts';

export function inventorySections({ records, others }: Results): Section[] {
  const blocks: Block[] =
    records.length === 0
      ? [text('There is no record in the folder yet, so there is nothing to report.')]
      : [recordTable(records)];
  return [
    { id: 'records', title: 'Records', blocks },
    ...(others.length === 0 ? [] : [{ id: 'others', title: 'Not part of this report', blocks: [otherTable(others)] }]),
  ];
}

function recordTable(records: readonly Stored[]): Table {
  return {
    kind: 'table',
    caption: 'Records',
    columns: [
      { title: 'file' },
      { title: 'commit' },
      { title: 'machine', prose: 'narrow' },
      { title: 'started' },
      { title: 'seconds', numeric: true },
      { title: 'load average', numeric: true },
      { title: 'seed', numeric: true },
      { title: 'noticed', prose: 'narrow' },
      { title: 'command', prose: 'wide' },
    ],
    rows: records.map(stored => {
      const { file, record } = stored;
      const { commit, machine, started, seconds, seed, disturbed } = record;
      return [
        file,
        commit.slice(0, 12) + (commit.endsWith('+') ? ' and changes' : ''),
        `${machineOf(record)}, ${machine.gibibytes} GiB, Node ${machine.node}${record.benchmark === 'serve' ? `; server ${record.device}` : ''}`,
        started.slice(0, 16).replace('T', ' '),
        String(seconds),
        String(machine.load),
        String(seed),
        disturbed.length === 0 ? 'nothing' : `Disturbed: ${disturbed.join('; ')}`,
        commandOf(stored),
      ];
    }),
  };
}

function otherTable(others: readonly Other[]): Table {
  return {
    kind: 'table',
    caption: 'Files of other benchmarks in the same folder',
    columns: [{ title: 'file' }, { title: 'written by', prose: 'wide' }],
    rows: others.map(({ file, command }) => [file, command]),
  };
}

/** The header of a safetensors file: 8 bytes of length, then JSON. Tensor data is never read here. */
import { basename } from 'node:path';
import { type JsonObject, parseJsonObject } from './config.ts';
import { readAt, withFile } from './files.ts';
import { invalid, shown } from './invalid.ts';
import { repeatedKey } from './json-keys.ts';

/** One tensor as its header describes it, checked against the size of the file. */
export interface StoredTensor {
  /** Path of the file. */
  readonly file: string;
  /** A type of the format; which of them can be served is decided where the tensor is used. */
  readonly type: string;
  readonly shape: readonly number[];
  /** Of the first byte in the file. Need not be aligned. */
  readonly offset: number;
  readonly bytes: number;
}

/** Bits of one element, for all types of the format. */
const typeBits: ReadonlyMap<string, number> = new Map(
  Object.entries({
    ...{ F4: 4, F6_E2M3: 6, F6_E3M2: 6 },
    ...{ BOOL: 8, U8: 8, I8: 8, F8_E5M2: 8, F8_E4M3: 8, F8_E8M0: 8, F8_E5M2FNUZ: 8, F8_E4M3FNUZ: 8 },
    ...{ I16: 16, U16: 16, F16: 16, BF16: 16, I32: 32, U32: 32, F32: 32 },
    ...{ I64: 64, U64: 64, F64: 64, C64: 64 },
  }),
);

/** The limit of the format's own library. */
const mostHeaderBytes = 100_000_000;
const lengthBytes = 8;

/**
 * The tensors of one file, by name.
 * @throws RedllmError `invalid_checkpoint` naming file and tensor: not a regular file, cut short, a header that is too long, not
 *   JSON or holds a key twice, an entry without type, shape or offsets, offsets outside the file, overlapping or of another
 *   length than type and shape make
 */
export async function readSafetensors(path: string): Promise<ReadonlyMap<string, StoredTensor>> {
  return withFile(path, async (file, size) => {
    const length = headerLength(await readAt(file, 0, lengthBytes), size, basename(path));
    return parseHeader(await readAt(file, lengthBytes, length), size, path);
  });
}

function headerLength(prefix: Buffer, fileSize: number, file: string): number {
  if (prefix.length < lengthBytes) throw invalid(`${file} is cut short: it has ${fileSize} bytes, no header.`, file);
  const length = prefix.readBigUInt64LE(0);
  if (length > BigInt(mostHeaderBytes)) {
    throw invalid(
      `${file} is not a safetensors file: its header would take ${length} bytes, at most ${mostHeaderBytes} are allowed.`,
      file,
    );
  }
  if (lengthBytes + Number(length) > fileSize) {
    throw invalid(`${file} is cut short: its header takes ${length} bytes, the file has ${fileSize}.`, file);
  }
  return Number(length);
}

/** @param header the JSON alone   @param path of the file, whose whole size is `fileSize` bytes */
function parseHeader(header: Buffer, fileSize: number, path: string): ReadonlyMap<string, StoredTensor> {
  const file = basename(path);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(header);
  } catch (cause) {
    throw invalid(`The header of ${file} is not UTF-8.`, file, cause);
  }
  const raw = parseJsonObject(text, `The header of ${file}`, file);
  const repeated = repeatedKey(text);
  if (repeated !== undefined) throw invalid(`The header of ${file} holds the key ${shown(repeated)} twice.`, repeated);

  const dataStart = lengthBytes + header.length;
  const tensors = new Map<string, StoredTensor>();
  for (const [name, entry] of Object.entries(raw)) {
    if (name === '__metadata__') continue;
    tensors.set(name, readEntry(name, entry, dataStart, fileSize, path));
  }
  refuseOverlap(tensors, file);
  return tensors;
}

function readEntry(name: string, entry: unknown, dataStart: number, fileSize: number, path: string): StoredTensor {
  const file = basename(path);
  const wrong = (what: string) => invalid(`${file}: tensor ${shown(name)} ${what}.`, name);
  if (entry === null || typeof entry !== 'object') throw wrong('has no description');
  const { dtype, shape, data_offsets: offsets } = entry as JsonObject;

  const bits = typeof dtype === 'string' ? typeBits.get(dtype) : undefined;
  if (typeof dtype !== 'string' || bits === undefined) throw wrong(`has the unknown dtype ${shown(dtype)}`);
  if (!isListOfSizes(shape)) throw wrong('has no shape made of whole numbers');
  if (!isListOfSizes(offsets) || offsets.length !== 2) throw wrong('has no pair of data_offsets');

  const [begin, end] = offsets as [number, number];
  if (begin > end || dataStart + end > fileSize) {
    throw wrong(`lies at ${begin} to ${end}, but the file holds ${fileSize - dataStart} bytes of data`);
  }
  const elements = shape.reduce((product, size) => product * size, 1);
  if (elements * bits !== (end - begin) * 8) {
    throw wrong(`takes ${end - begin} bytes, but ${dtype} of shape [${shape.join(', ').slice(0, 60)}] does not`);
  }
  return { file: path, type: dtype, shape, offset: dataStart + begin, bytes: end - begin };
}

function isListOfSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(size => Number.isSafeInteger(size) && size >= 0);
}

function refuseOverlap(tensors: ReadonlyMap<string, StoredTensor>, file: string): void {
  const sorted = [...tensors].filter(([, tensor]) => tensor.bytes > 0).sort((a, b) => a[1].offset - b[1].offset);
  for (let i = 1; i < sorted.length; i++) {
    const [before, { offset, bytes }] = sorted[i - 1]!;
    const [name, tensor] = sorted[i]!;
    if (offset + bytes > tensor.offset) {
      throw invalid(`${file}: tensors ${shown(before)} and ${shown(name)} overlap.`, name);
    }
  }
}

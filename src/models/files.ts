/** Reading from somebody's files: regular files only, and every failure of the system as one sentence. */
import { type FileHandle, open, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { invalid } from './invalid.ts';

/**
 * Opens a regular file, hands it over with its size in bytes, and closes it.
 * @throws RedllmError `invalid_checkpoint`, naming the file, where it cannot be read
 */
export async function withFile<T>(path: string, use: (file: FileHandle, size: number) => Promise<T>): Promise<T> {
  const name = basename(path);
  try {
    // Before it is opened: opening a pipe waits for its writer.
    if (!(await stat(path)).isFile()) throw invalid(`${name} is not a regular file.`, name);
    const file = await open(path, 'r');
    try {
      return await use(file, (await file.stat()).size);
    } finally {
      await file.close();
    }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).syscall === undefined) throw cause;
    throw invalid(`${name} could not be read (${(cause as Error).message}).`, name, cause);
  }
}

/** `length` bytes from `position` on; fewer where the file ends before. */
export async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const to = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(to, done, length - done, position + done);
    if (bytesRead === 0) return to.subarray(0, done);
    done += bytesRead;
  }
  return to;
}

/** Whether something by this name is there, a dangling link excluded. */
export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

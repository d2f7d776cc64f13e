/** Checkpoints and golden files that lie beside the repository, in ../shared: not part of it, so tests that need them may find none. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadAddon, type RuntimeOptions } from '../src/native.ts';

const root = repositoryRoot();

/** The path of `../shared/...parts`, or null where it is not there. */
export function sharedPath(...parts: string[]): string | null {
  const path = join(root, '..', 'shared', ...parts);
  return existsSync(path) ? path : null;
}

/** The `skip` option of a test that needs `../shared/...parts`: false, or the reason that the runner prints. */
export function skipWithout(...parts: string[]): string | false {
  return sharedPath(...parts) === null ? `needs ../shared/${parts.join('/')}` : false;
}

/** Where models of the tests run: on the CPU, or where REDLLM_TEST_DEVICE says. */
export const testDevice = {
  device: process.env.REDLLM_TEST_DEVICE ?? 'cpu',
  cudaLibrary: process.env.REDLLM_CUDA_LIBRARY ?? null,
};

/** The CUDA backend on the emulated device, where it was built: for tests alone. */
export const emulatedLibrary = join(root, 'build', 'libredllm_cuda_emu.so');

/** A place to compute, as an option of the runtime, and its name. */
export interface Place {
  readonly name: string;
  readonly emulated: boolean;
  readonly options: Partial<RuntimeOptions>;
}

/** Every instruction set of this machine and the emulated device, or nothing but the device that REDLLM_TEST_DEVICE names. */
export function places(): Place[] {
  if (testDevice.device !== 'cpu') {
    const device = testDevice.device === 'cuda' ? 'cuda:0' : testDevice.device;
    const library = testDevice.cudaLibrary === null ? {} : { library: testDevice.cudaLibrary };
    return [{ name: device, emulated: testDevice.cudaLibrary === emulatedLibrary, options: { device, ...library } }];
  }
  const sets: Place[] = loadAddon()
    .devices()
    .filter(device => device.available && device.name.startsWith('cpu '))
    .map(({ name }) => ({ name, emulated: false, options: { isa: name.replace('cpu ', '') } }));
  if (!existsSync(emulatedLibrary)) return sets;
  const options = { device: 'cuda:0', library: emulatedLibrary };
  return [...sets, { name: 'the emulated device', emulated: true, options }];
}

/** The folder of package.json, wherever compiled tests lie. */
export function repositoryRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json')) && folder !== dirname(folder)) folder = dirname(folder);
  return folder;
}

/** Checkpoints and golden files that lie beside the repository, in ../shared: not part of it, so tests that need them may find none. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DeviceOptions } from '../src/device.ts';
import { loadAddon } from '../src/native.ts';
import { packageRoot } from '../src/package-root.ts';

/** The path of `../shared/...parts`, or null where it is not there. */
export function sharedPath(...parts: string[]): string | null {
  const path = join(packageRoot, '..', 'shared', ...parts);
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
export const emulatedLibrary = join(packageRoot, 'build', 'libredllm_cuda_emu.so');
export const emulatedDevice = { device: 'cuda', cudaLibrary: emulatedLibrary };

/** A place to compute, and its name. */
export interface Place {
  readonly name: string;
  readonly options: Partial<DeviceOptions>;
}

/** Every instruction set of this machine and the emulated device, or nothing but the device that REDLLM_TEST_DEVICE names. */
export function places(): Place[] {
  if (testDevice.device !== 'cpu') {
    return [{ name: testDevice.device, options: testDevice }];
  }
  const sets: Place[] = loadAddon()
    .devices()
    .filter(device => device.available && device.name.startsWith('cpu '))
    .map(({ name }) => ({ name, options: { isa: name.replace('cpu ', '') } }));
  return existsSync(emulatedLibrary) ? [...sets, { name: 'the emulated device', options: emulatedDevice }] : sets;
}

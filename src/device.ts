/** Where to compute: what the setting `device` names, or the first CUDA device that can be opened, or else the CPU. */
import { RedllmError } from './errors.ts';
import type { Addon, NativeRuntime } from './native.ts';

export interface DeviceOptions {
  /** 'auto', 'cpu', 'cuda' (the first) or 'cuda:N'. */
  readonly device: string;
  readonly isa: string;
  /** 0: as many as the process may use. */
  readonly threads: number;
  /** The CUDA backend's library, an absolute path; null: the one beside the addon. */
  readonly cudaLibrary: string | null;
}

export interface OpenedRuntime {
  readonly runtime: NativeRuntime;
  /** Why the CPU computes though any device would have been taken, or what a device has to say, without a full stop; null: nothing. */
  readonly notice: string | null;
}

function noted(runtime: NativeRuntime): OpenedRuntime {
  return { runtime, notice: runtime.note === '' ? null : runtime.note };
}

/** @throws RedllmError `invalid_config` where a device that is named cannot be opened */
export function openRuntime(addon: Addon, options: DeviceOptions): OpenedRuntime {
  const { device, isa, threads, cudaLibrary } = options;
  const open = (name: string) =>
    addon.createRuntime({ device: name, isa, threads, ...(cudaLibrary !== null && { library: cudaLibrary }) });
  if (device === 'cpu') return { runtime: open('cpu'), notice: null };
  if (device !== 'auto') {
    try {
      return noted(open(device === 'cuda' ? 'cuda:0' : device));
    } catch (cause) {
      throw new RedllmError(
        'invalid_config',
        `The setting device is '${device}', but that cannot be opened: ${(cause as Error).message}.`,
        { param: 'device', cause },
      );
    }
  }
  const reasons: string[] = [];
  for (const { name, available, detail } of addon.devices(cudaLibrary ?? undefined)) {
    if (!name.startsWith('cuda')) continue;
    try {
      if (available) return noted(open(name));
      reasons.push(detail);
    } catch (cause) {
      reasons.push((cause as Error).message);
    }
  }
  return { runtime: open('cpu'), notice: `no CUDA device: ${reasons.join('; ')}` };
}

/** Which device is opened, by the setting and by what there is; and what is said where it is not the one that was hoped for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openRuntime } from '../src/device.ts';
import type { Addon, DeviceReport, RuntimeOptions } from '../src/native.ts';
import { FakeRuntime } from './fixtures/fake-runtime.ts';

const cpu: DeviceReport = { name: 'cpu plain', available: true, detail: 'ready' };

/** @param broken names of devices that are listed but cannot be opened */
function addonWith(devices: readonly DeviceReport[], broken: readonly string[] = []) {
  const asked: RuntimeOptions[] = [];
  const addon: Addon = {
    devices: () => [cpu, ...devices],
    createRuntime: options => {
      asked.push(options);
      if (broken.includes(options.device!)) throw new Error(`${options.device} is out of order`);
      return new FakeRuntime();
    },
  };
  return { addon, asked };
}

const options = { isa: 'auto', threads: 2, cudaLibrary: null };
const cuda = (index: number, available = true): DeviceReport => ({
  name: `cuda:${index}`,
  available,
  detail: available ? 'a GPU' : 'an old GPU',
});
const none: DeviceReport = { name: 'cuda', available: false, detail: 'no NVIDIA driver is installed' };

test('auto takes the first CUDA device that can be opened', () => {
  const { addon, asked } = addonWith([cuda(0, false), cuda(1), cuda(2)], ['cuda:1']);
  assert.equal(openRuntime(addon, { ...options, device: 'auto' }).notice, null);
  assert.deepEqual(
    asked.map(({ device }) => device),
    ['cuda:1', 'cuda:2'],
  );
});

test('auto falls back to the CPU and says why', () => {
  const nothing = addonWith([none]);
  assert.equal(
    openRuntime(nothing.addon, { ...options, device: 'auto' }).notice,
    'no CUDA device: no NVIDIA driver is installed',
  );
  assert.deepEqual(nothing.asked, [{ device: 'cpu', isa: 'auto', threads: 2 }]);
  const broken = addonWith([cuda(0, false), cuda(1)], ['cuda:1']);
  assert.equal(
    openRuntime(broken.addon, { ...options, device: 'auto' }).notice,
    'no CUDA device: an old GPU; cuda:1 is out of order',
  );
});

test('a device that is named is that one or an error', () => {
  const { addon, asked } = addonWith([cuda(0)], ['cuda:3']);
  openRuntime(addon, { ...options, device: 'cuda', cudaLibrary: '/somewhere.so' });
  openRuntime(addon, { ...options, device: 'cpu' });
  assert.deepEqual(
    asked.map(({ device, library }) => [device, library]),
    [
      ['cuda:0', '/somewhere.so'],
      ['cpu', undefined],
    ],
  );
  assert.throws(() => openRuntime(addon, { ...options, device: 'cuda:3' }), {
    code: 'invalid_config',
    param: 'device',
    message: "The setting device is 'cuda:3', but that cannot be opened: cuda:3 is out of order.",
  });
});

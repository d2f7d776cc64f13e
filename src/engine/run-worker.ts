/** Turns an EngineLoop on this Worker's thread until the handle closes it or it dies. */
import { parentPort, workerData } from 'node:worker_threads';
import type { OpenedRuntime } from '../device.ts';
import { EngineLoop } from './loop.ts';
import type { EngineOptions } from './protocol.ts';
import { WorkerPort } from './worker-port.ts';

/** @throws Error outside a Worker */
export async function runWorker(openRuntime: (options: EngineOptions) => OpenedRuntime): Promise<void> {
  if (parentPort === null) throw new Error('the engine runs in a Worker: start it with Engine.start()');
  const port = new WorkerPort(parentPort);
  const loop = new EngineLoop(port, openRuntime, workerData as EngineOptions);
  for (let state = loop.turn(); state !== 'ended'; state = loop.turn()) {
    if (state === 'idle') await port.wait(loop.untilDeadline());
  }
  port.close();
}

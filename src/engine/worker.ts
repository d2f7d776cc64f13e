/** The engine's thread: the file that Engine.start() runs in a Worker. */
import { openRuntime } from '../device.ts';
import { loadAddon } from '../native.ts';
import { runWorker } from './run-worker.ts';

await runWorker(options => openRuntime(loadAddon(), options));

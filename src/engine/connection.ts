/** The handle's end of the line to the engine's loop, and the Worker at the other end. */
import { Worker } from 'node:worker_threads';
import { loadAddon } from '../native.ts';
import type { EngineOptions, FromWorker, ToWorker } from './protocol.ts';

export interface Connection {
  send(message: ToWorker): void;
  /** Resolves when the other side is gone; it was told to close, or is dead. */
  ended(): Promise<void>;
}

export interface Listener {
  message(message: FromWorker): void;
  /** The other side is gone, with the reason where there is one. */
  gone(error: Error | null): void;
}

export type Connect = (options: EngineOptions, listener: Listener) => Connection;

/** Starts a Worker that runs `file`. */
export function connectWorker(file: URL, options: EngineOptions, listener: Listener): Connection {
  const worker = new Worker(file, { workerData: options, name: 'redllm-engine' });
  let failure: Error | null = null;
  const exit = new Promise<void>(resolve => {
    worker.on('exit', () => {
      resolve();
      listener.gone(failure);
    });
  });
  worker.on('message', (message: FromWorker) => listener.message(message));
  worker.on('error', error => {
    failure = error instanceof Error ? error : new Error(String(error));
  });
  return {
    send: message => worker.postMessage(message),
    ended: () => exit,
  };
}

/** @throws RedllmError `native_unavailable` */
export function connectEngine(options: EngineOptions, listener: Listener): Connection {
  // The main thread loads the addon first: were a Worker its only loader, Node would unmap it when the Worker ends, while
  // weak callbacks into it are still to come.
  loadAddon();
  return connectWorker(new URL('./worker.js', import.meta.url), options, listener);
}

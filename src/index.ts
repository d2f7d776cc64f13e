/** What a program may use: a server in its own process, or a generator without one. */
export { type DescribedModel, describeModels, type Running, startModels } from './cli/models.ts';
export { startServer } from './cli/serve.ts';
export { type Config, configSchema } from './config.ts';
export { Engine } from './engine/engine.ts';
export type { EngineOptions, ModelStats } from './engine/protocol.ts';
export { type ErrorCode, RedllmError } from './errors.ts';
export { Generator } from './generate.ts';
export type { ComputeType, GenerationDefaults, ModelSpec } from './models/spec.ts';
export type { GenerateChunk, GenerateRequest, TokenLogprob, Usage } from './request.ts';
export type { ServedModel } from './served-model.ts';
export { type App, buildApp } from './server/app.ts';
export { defaultServerOptions, type ServerOptions } from './server/options.ts';
export { version } from './server/version.ts';

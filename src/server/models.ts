/** GET /v1/models and /v1/models/NAME: what is served, and how much it takes. */
import type { FastifyInstance } from 'fastify';
import type { ServerContext } from './call.ts';
import type { ServedModelLike } from './contracts.ts';

/** Tokens that a prompt may have; of a decoder-only model, prompt and answer together. */
export const maxModelLength = (model: ServedModelLike) => (model.spec.encoder ? model.maxSource : model.maxTarget);

function modelObject(model: ServedModelLike) {
  const { spec } = model;
  return {
    id: model.name,
    object: 'model',
    created: model.created,
    owned_by: 'redllm',
    root: model.name,
    parent: null,
    permission: [],
    max_model_len: maxModelLength(model),
    architecture: {
      type: spec.encoder ? 'encoder-decoder' : 'decoder-only',
      family: spec.family,
      max_source_len: spec.encoder ? model.maxSource : null,
      max_target_len: model.maxTarget,
      chat: model.template !== null,
      text: model.tokenizer !== null,
      input_modalities: ['text'],
      output_modalities: ['text'],
    },
  };
}

export function modelRoutes(app: FastifyInstance, { generator }: ServerContext): void {
  app.get('/v1/models', async () => ({ object: 'list', data: generator.models().map(modelObject) }));
  // A wildcard, as names may have slashes.
  app.get<{ Params: { '*': string } }>('/v1/models/*', async request =>
    modelObject(generator.model(request.params['*'])),
  );
}

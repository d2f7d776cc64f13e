/** POST /tokenize and /detokenize, in vLLM's shape. */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { RedllmError } from '../errors.ts';
import type { ServerContext } from './call.ts';
import { renderChat } from './chat-prompt.ts';
import type { ServedModelLike } from './contracts.ts';
import { parseBody, text, tokenIds } from './fields.ts';
import { maxModelLength } from './models.ts';
import { chatPrompt } from './schemas.ts';

const vocabulary = z.enum(['source', 'target']).optional();

const tokenizeBody = z.looseObject({
  model: z.string().optional(),
  prompt: text.optional(),
  ...chatPrompt,
  messages: chatPrompt.messages.optional(),
  add_special_tokens: z.boolean().optional(),
  return_token_strs: z.boolean().optional(),
  vocabulary,
});

const detokenizeBody = z.looseObject({
  model: z.string().optional(),
  tokens: tokenIds,
  skip_special_tokens: z.boolean().optional(),
  vocabulary,
});

/** Of a text to tokenise, whatever the model; and a token of the model's length, where that is more. */
const MOST_CHARACTERS = 1 << 20;
const CHARACTERS_A_TOKEN = 16;

export function tokenizeRoutes(app: FastifyInstance, context: ServerContext): void {
  const { generator, options } = context;

  app.post('/tokenize', async (request, reply) => {
    const body = parseBody(tokenizeBody, request.body);
    const model = namedModel(context, body.model);
    if ((body.prompt === undefined) === (body.messages === undefined))
      throw new RedllmError('invalid_value', 'Give either prompt or messages.', { param: 'prompt' });
    const chat = body.messages ? renderChat(model, body) : undefined;
    const prompt = chat?.text ?? body.prompt!;
    checkLength(chat ? 'messages' : 'prompt', prompt, model);
    const gone = new AbortController();
    const abort = () => gone.abort();
    reply.raw.once('close', abort);
    try {
      const { tokens, texts } = await generator.tokenize({
        model: model.name,
        prompt,
        addSpecialTokens: chat?.addSpecialTokens ?? body.add_special_tokens ?? true,
        side: body.vocabulary ?? 'source',
        texts: body.return_token_strs ?? false,
        signal: gone.signal,
        ...(options.requestTimeout > 0 && { timeout: options.requestTimeout }),
      });
      return { count: tokens.length, max_model_len: maxModelLength(model), tokens, token_strs: texts };
    } finally {
      reply.raw.off('close', abort);
    }
  });

  app.post('/detokenize', async request => {
    const body = parseBody(detokenizeBody, request.body);
    const prompt = generator.detokenize({
      model: namedModel(context, body.model).name,
      tokens: body.tokens,
      skipSpecialTokens: body.skip_special_tokens ?? false,
      side: body.vocabulary ?? 'target',
    });
    return { prompt };
  });
}

/** Counting the tokens of texts that do not fit is of use; but one of megabytes would keep a thread for a minute. */
function checkLength(param: string, { length }: string, { maxSource, maxTarget }: ServedModelLike): void {
  const most = Math.max(MOST_CHARACTERS, CHARACTERS_A_TOKEN * Math.max(maxSource, maxTarget));
  if (length <= most) return;
  throw new RedllmError('invalid_value', `${param} has ${length} characters, but at most ${most} are tokenised here.`, {
    param,
  });
}

/** The model of that name; without a name the only one there is. */
function namedModel({ generator }: ServerContext, name: string | undefined): ServedModelLike {
  if (name !== undefined) return generator.model(name);
  const models = generator.models();
  if (models.length === 1) return models[0]!;
  throw new RedllmError('invalid_value', 'model is required: this server has several.', { param: 'model' });
}

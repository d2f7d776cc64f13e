/** POST /v1/chat/completions: messages in, one message out (or n). */
import type { GenerateChunk, GenerateRequest, Usage } from '../request.ts';
import { type Call, collect, isNews, Run, RunningUsage, type ServerContext } from './call.ts';
import { chatChoice, chatHead, endDelta, roleDelta, textDelta } from './chat-object.ts';
import { renderChat } from './chat-prompt.ts';
import type { ServedModelLike } from './contracts.ts';
import type { Ticket } from './drain.ts';
import { naming } from './field-names.ts';
import { promptLogprobs } from './logprobs.ts';
import { type ChatBody, parseChat, toParams } from './schemas.ts';
import { usageObject } from './usage.ts';

/** @throws RedllmError naming the field that is wrong */
export function readChat(context: ServerContext, body: unknown, client: string | null): Call {
  const fields = parseChat(body);
  const generator =
    fields.max_completion_tokens === undefined
      ? context.generator
      : naming(context.generator, 'max_tokens', 'max_completion_tokens');
  const model = context.generator.model(fields.model);
  const request = {
    ...chatRequest(model, fields, context.options.requestTimeout),
    ...(client !== null && { client }),
  };
  const stream = fields.stream === true;
  const head = chatHead(model.name, fields.request_id, stream);
  const withIds = fields.return_token_ids === true;
  const withUsage = fields.stream_options?.include_usage === true;
  const continuous = withUsage && fields.stream_options?.continuous_usage_stats === true;

  const scoresOf = ({ promptLogprobs: scores }: Pick<GenerateChunk, 'promptLogprobs'>) =>
    scores && fields.prompt_logprobs !== undefined
      ? { prompt_logprobs: promptLogprobs(scores, fields.prompt_logprobs) }
      : {};

  async function* chunks(ticket: Ticket): AsyncGenerator<object, Usage> {
    const run = new Run({ ...context, generator }, [request], ticket);
    const soFar = new RunningUsage();
    const started = new Set<number>();
    let usage: ReturnType<typeof usageObject> | null = null;
    const made = (choice: object, extra: object = {}) => ({
      ...head,
      ...extra,
      choices: [choice],
      ...(withUsage && { usage }),
    });
    for await (const { choice: index, chunk } of run.gains()) {
      if (continuous) usage = usageObject(soFar.add(chunk));
      if (!started.has(index)) {
        started.add(index);
        yield made(roleDelta(index), withIds && chunk.begin ? { prompt_token_ids: chunk.begin.promptTokens } : {});
      }
      const { finish: _, ...gained } = chunk;
      if (isNews(gained, withIds)) yield made(textDelta(index, gained, withIds), scoresOf(gained));
      if (chunk.finish) yield made(endDelta(index, chunk));
    }
    if (withUsage) yield { ...head, choices: [], usage: usageObject(run.usage) };
    return run.usage;
  }

  async function whole(ticket: Ticket): Promise<object> {
    const run = new Run({ ...context, generator }, [request], ticket);
    const { answers, begun } = await collect(run, fields.n ?? 1);
    const choices = answers.map((chunk, index) => chatChoice(index, chunk, withIds));
    const prompt = withIds ? { prompt_token_ids: begun.get(0)?.promptTokens ?? null } : {};
    const scores = scoresOf({ promptLogprobs: [], ...answers[0] });
    return { ...head, choices, usage: usageObject(run.usage), ...prompt, ...scores };
  }

  return { stream, chunks, whole };
}

function chatRequest(model: ServedModelLike, fields: ChatBody, requestTimeout: number): GenerateRequest {
  const { text, addSpecialTokens } = renderChat(model, fields);
  // Without a limit of its own an answer may fill what room there is: the generator's default.
  return {
    ...toParams(fields, requestTimeout),
    prompt: text,
    addSpecialTokens,
    ...(fields.max_completion_tokens !== undefined && { maxTokens: fields.max_completion_tokens }),
    ...(fields.logprobs && { logprobs: fields.top_logprobs ?? 0 }),
  };
}

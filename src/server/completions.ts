/** POST /v1/completions: prompts in, text out. */
import { RedllmError } from '../errors.ts';
import type { GenerateRequest, Usage } from '../request.ts';
import { type Call, collect, isNews, Run, RunningUsage, type ServerContext } from './call.ts';
import { type AskedLogprobs, completionChoice, completionHead, listedLength } from './completion-object.ts';
import type { ServedModelLike } from './contracts.ts';
import type { Ticket } from './drain.ts';
import { echoText, parsePrompts } from './prompts.ts';
import { type CompletionBody, parseCompletion, scoresEcho, toParams } from './schemas.ts';
import { usageObject } from './usage.ts';

/** OpenAI's, where neither the request nor the checkpoint says how long an answer may be. */
const DEFAULT_MAX_TOKENS = 16;

/** @throws RedllmError naming the field that is wrong */
export function readCompletion(context: ServerContext, body: unknown, client: string | null): Call {
  const fields = parseCompletion(body);
  const model = context.generator.model(fields.model);
  const prompts = parsePrompts(fields.prompt);
  const params = toParams(fields, context.options.requestTimeout);
  const asked = askedLogprobs(fields, model);
  const requests: GenerateRequest[] = prompts.map(prompt => ({
    ...(model.defaults.maxNewTokens === undefined && { maxTokens: DEFAULT_MAX_TOKENS }),
    ...params,
    ...(client !== null && { client }),
    prompt,
    ...(fields.logprobs !== undefined && { logprobs: fields.logprobs }),
    ...(asked.echoed && { promptLogprobs: Math.max(asked.generated!, asked.prompt ?? 0) }),
  }));
  const head = completionHead(model.name, fields.request_id);
  const echoes = prompts.map(prompt => (fields.echo ? echoText(model, prompt, fields.decoder_prompt) : ''));
  // A model without text has nothing else to answer with.
  const withIds = fields.return_token_ids ?? model.targetTokenizer === null;
  const withUsage = fields.stream_options?.include_usage === true;
  const continuous = withUsage && fields.stream_options?.continuous_usage_stats === true;
  const choices = prompts.length * (fields.n ?? 1);

  async function* chunks(ticket: Ticket): AsyncGenerator<object, Usage> {
    const run = new Run(context, requests, ticket);
    const soFar = new RunningUsage();
    const offsets: number[] = new Array(choices).fill(0);
    const started = new Set<number>();
    const promptIds = new Map<number, readonly number[]>();
    for await (const { choice: index, prompt, chunk } of run.gains()) {
      const usage = continuous ? usageObject(soFar.add(chunk)) : null;
      if (chunk.begin) promptIds.set(prompt, chunk.begin.promptTokens);
      if (!isNews(chunk, withIds)) continue;
      const first = !started.has(index);
      started.add(index);
      const choice = completionChoice({
        index,
        chunk,
        echo: first ? echoes[prompt]! : '',
        offset: offsets[index]!,
        asked,
        ...(withIds && { tokenIds: { prompt: first ? (promptIds.get(prompt) ?? null) : null } }),
      });
      offsets[index]! += listedLength(chunk, asked);
      yield { ...head, choices: [choice], ...(withUsage && { usage }) };
    }
    if (withUsage) yield { ...head, choices: [], usage: usageObject(run.usage) };
    return run.usage;
  }

  async function whole(ticket: Ticket): Promise<object> {
    const run = new Run(context, requests, ticket);
    const { answers, begun } = await collect(run, choices);
    const made = answers.map((answer, index) => {
      // Where no token was scored, that is the answer.
      const chunk = { promptLogprobs: [], ...answer };
      const prompt = Math.floor(index / (fields.n ?? 1));
      const tokenIds = { prompt: begun.get(prompt)?.promptTokens ?? null };
      return completionChoice({ index, chunk, echo: echoes[prompt]!, offset: 0, asked, ...(withIds && { tokenIds }) });
    });
    return { ...head, choices: made, usage: usageObject(run.usage) };
  }

  return { stream: fields.stream === true, chunks, whole };
}

/** @throws RedllmError `unsupported` where the tokens that are echoed have no log-probabilities */
function askedLogprobs(fields: CompletionBody, model: ServedModelLike): AskedLogprobs {
  const echoed = scoresEcho(fields);
  if (echoed && model.spec.mask === 'prefix')
    throw new RedllmError(
      'unsupported',
      `The tokens of a prompt of model ${model.name} see each other, so echo cannot give their log-probabilities.`,
      { param: 'echo' },
    );
  return { generated: fields.logprobs, echoed, prompt: fields.prompt_logprobs };
}

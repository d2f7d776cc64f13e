/**
 * Every error that a user can meet, in one place: its code, its HTTP status, its OpenAI type. Nothing else in the project
 * makes up codes. Anything thrown that is not a RedllmError is a fault of ours and is reported as `internal`.
 */

const kinds = {
  // Requests.
  invalid_value: { status: 400, type: 'invalid_request_error' },
  invalid_json: { status: 400, type: 'invalid_request_error' },
  context_length_exceeded: { status: 400, type: 'invalid_request_error' },
  unsupported: { status: 400, type: 'invalid_request_error' },
  invalid_api_key: { status: 401, type: 'authentication_error' },
  model_not_found: { status: 404, type: 'invalid_request_error' },
  not_found: { status: 404, type: 'invalid_request_error' },
  method_not_allowed: { status: 405, type: 'invalid_request_error' },
  unsupported_media_type: { status: 415, type: 'invalid_request_error' },
  payload_too_large: { status: 413, type: 'invalid_request_error' },
  queue_full: { status: 429, type: 'rate_limit_error' },
  deadline_exceeded: { status: 504, type: 'timeout_error' },
  cancelled: { status: 499, type: 'cancelled_error' },
  slow_reader: { status: 499, type: 'cancelled_error' },
  draining: { status: 503, type: 'server_error' },
  engine_dead: { status: 503, type: 'server_error' },
  internal: { status: 500, type: 'server_error' },
  // Starting: configuration and checkpoints.
  invalid_config: { status: 500, type: 'configuration_error' },
  invalid_checkpoint: { status: 500, type: 'checkpoint_error' },
  unsupported_model: { status: 500, type: 'checkpoint_error' },
  native_unavailable: { status: 500, type: 'configuration_error' },
} as const;

export type ErrorCode = keyof typeof kinds;

export interface ErrorOptions {
  /** The field of the request or the configuration that is at fault, e.g. `max_tokens` or `logit_bias.7`. */
  param?: string;
  /** Seconds after which a retry makes sense; sent as `Retry-After`. */
  retryAfter?: number;
  cause?: unknown;
}

/** An error for a person: a code, a plain sentence, and the name of the field where there is one. */
export class RedllmError extends Error {
  readonly code: ErrorCode;
  readonly param: string | null;
  readonly retryAfter: number | null;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'RedllmError';
    this.code = code;
    this.param = options.param ?? null;
    this.retryAfter = options.retryAfter ?? null;
  }

  get status(): number {
    return kinds[this.code].status;
  }

  /** The OpenAI error envelope. */
  toJSON(): { error: { message: string; type: string; param: string | null; code: ErrorCode } } {
    return { error: { message: this.message, type: kinds[this.code].type, param: this.param, code: this.code } };
  }
}

/** Wraps whatever was thrown; what we did not foresee becomes `internal`, with its message kept out of the envelope. */
export function asRedllmError(thrown: unknown): RedllmError {
  if (thrown instanceof RedllmError) return thrown;
  return new RedllmError('internal', 'The server failed to handle this request.', { cause: thrown });
}

/** An error as it crosses a thread boundary, and back. */
export interface PlainError {
  code: ErrorCode;
  message: string;
  param: string | null;
  retryAfter: number | null;
}

export function toPlain(thrown: unknown): PlainError {
  const error = asRedllmError(thrown);
  return { code: error.code, message: error.message, param: error.param, retryAfter: error.retryAfter };
}

export function fromPlain(plain: PlainError): RedllmError {
  const options: ErrorOptions = {};
  if (plain.param !== null) options.param = plain.param;
  if (plain.retryAfter !== null) options.retryAfter = plain.retryAfter;
  return new RedllmError(plain.code, plain.message, options);
}

/** What one file per family exports: the way from a config to a spec, and the surplus that its real checkpoints carry. */
import type { Config } from './config.ts';
import type { GenerationDefaults, ModelSpec } from './spec.ts';

export interface Family {
  /** The `model_type`s that this file serves. */
  readonly modelTypes: readonly string[];
  /**
   * @param config reader of config.json that names the field in every error
   * @param tensors names in the checkpoint (empty where weights are drawn at random): some families say by a tensor's
   *   presence what their config leaves open (T5's own head).
   * @throws RedllmError `invalid_checkpoint` or `unsupported_model`, with the field's name
   */
  spec(config: Config, tensors: ReadonlySet<string>): ModelSpec;
  /** Special tokens, where the family's own fields or defaults decide. */
  defaults(config: Config): GenerationDefaults;
  /** Tensors that may be present and are not used: exact names or patterns. `sameAs`: accepted only where equal to that tensor. */
  readonly surplus: readonly { readonly pattern: RegExp; readonly sameAs?: string }[];
}

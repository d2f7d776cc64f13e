// Token counts of a decoding row, for its penalties.
#include <string.h>

#include "cpu/ops/ops_internal.h"

namespace REDLLM_ISA_NAMESPACE {

void set_history(Context*, const HistoryArgs& args) {
  int32_t* prompt = args.history + 2 * static_cast<int64_t>(args.slot) * args.vocabulary;
  int32_t* output = prompt + args.vocabulary;
  memset(prompt, 0, 2 * static_cast<size_t>(args.vocabulary) * sizeof(int32_t));
  for (int32_t i = 0; i < args.count; ++i) ++(i < args.prompt ? prompt : output)[args.tokens[i]];
}

}  // namespace REDLLM_ISA_NAMESPACE

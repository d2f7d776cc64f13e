#include "cpu/packed_layout.h"

#include "cpu/ops/ops_internal.h"

namespace redllm::cpu {

uint64_t weight_bytes(DType type, int32_t n, int32_t k, bool gated) {
  return static_cast<uint64_t>(packed_panels(n, gated) * packed_steps(type, k) * kStepBytes);
}

}  // namespace redllm::cpu

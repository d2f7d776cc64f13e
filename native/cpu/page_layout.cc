#include "cpu/page_layout.h"

#include "cpu/ops/ops_internal.h"

namespace redllm::cpu {

uint64_t page_bytes(DType type, int32_t layers, int32_t kv_heads, int32_t head_dim) {
  return static_cast<uint64_t>(layers) * static_cast<uint64_t>(kv_heads) *
         static_cast<uint64_t>(page_head_size(head_dim)) * size_of(type);
}

}  // namespace redllm::cpu

// Whole pages, as bytes.
#include <string.h>

#include "cpu/ops/ops_internal.h"

namespace REDLLM_ISA_NAMESPACE {

void copy_pages(Context* context, const CopyPagesArgs& a) {
  const int64_t size =
      static_cast<int64_t>(cpu::page_bytes(a.pool.type, a.pool.layers, a.pool.kv_heads, a.pool.head_dim));
  char* data = static_cast<char*>(a.pool.data);
  cpu::parallel_for(context, a.count, [&](int64_t index, int32_t) {
    if (a.to[index] != a.from[index]) ::memcpy(data + a.to[index] * size, data + a.from[index] * size, size);
  });
}

}  // namespace REDLLM_ISA_NAMESPACE

// Heads of a fused product to Q and to pages of K and V: norm, rotation, rounding. A head by itself, so that nothing depends on the
// tokens beside it.
#include <string.h>

#include "cpu/ops/ops_internal.h"
#include "cpu/ops/row_norm.h"
#include "cpu/page_layout.h"

namespace REDLLM_ISA_NAMESPACE {

namespace {

// A task's tokens are taken head by head: the page's K of one head, which a token crosses with a stride, then stays in cache.
constexpr int64_t kTaskTokens = 16;

void rotate(const Rope& rope, int32_t position, float* x) {
  if (rope.cos == nullptr) return;
  const int32_t half = rope.half;
  const float* cos = rope.cos + static_cast<int64_t>(position) * half;
  const float* sin = rope.sin + static_cast<int64_t>(position) * half;
  for_lanes(half, [=](int32_t i, int32_t n) {
    const vf a = load_upto(x + i, n), b = load_upto(x + half + i, n);
    const vf c = load_upto(cos + i, n), s = load_upto(sin + i, n);
    store_upto(x + i, sub(mul(a, c), mul(b, s)), n);
    store_upto(x + half + i, add(mul(b, c), mul(a, s)), n);
  });
}

// Columns of K [head_dim][kPageTokens], from a row that is already rounded.
template <typename T>
void store_key(const T* x, int32_t head_dim, T* k) {
  for (int32_t d = 0; d < head_dim; ++d) k[d * kPageTokens] = x[d];
}

template <typename T>
void round_row(const float* x, int64_t width, T* to) {
  for (int64_t i = 0; i < width; i += kLanes) store(to + i, load(x + i));
}

template <typename T>
void append_keys(const AppendArgs& a, int64_t first, int64_t last, float* head) {
  const int32_t dim = a.head_dim;
  const int64_t width = cpu::value_width(dim);
  const cpu::PageLayout layout = cpu::page_layout(a.pool, a.layer);
  T* rounded = reinterpret_cast<T*>(head + width);
  for (int64_t i = dim; i < width; ++i) head[i] = 0;  // V is padded with zeros
  for (int32_t h = 0; h < a.kv_heads; ++h) {
    for (int64_t t = first; t < last; ++t) {
      if (a.page[t] < 0) continue;
      const float* k = static_cast<const float*>(a.x.data) + t * a.x.cols + static_cast<int64_t>(a.heads + h) * dim;
      const float* v = k + static_cast<int64_t>(a.kv_heads) * dim;
      T* to = static_cast<T*>(a.pool.data) + a.page[t] * layout.page + layout.layer + h * layout.head;
      ::memcpy(head, k, dim * sizeof(float));
      apply(a.k_norm, head, dim);
      rotate(a.k_rope, a.k_rope.cos ? a.position[t] : 0, head);
      round_row(head, width, rounded);
      store_key(rounded, dim, to + a.in_page[t]);
      ::memcpy(head, v, dim * sizeof(float));
      apply(a.v_norm, head, dim);
      round_row(head, width, to + layout.value + a.in_page[t] * width);
    }
  }
}

void write_queries(const AppendArgs& a, int64_t first, int64_t last) {
  const int32_t dim = a.head_dim;
  for (int64_t t = first; t < last; ++t) {
    for (int32_t h = 0; h < a.heads; ++h) {
      float* q = static_cast<float*>(a.q.data) + (t * a.heads + h) * dim;
      ::memcpy(q, static_cast<const float*>(a.x.data) + t * a.x.cols + static_cast<int64_t>(h) * dim,
               dim * sizeof(float));
      apply(a.q_norm, q, dim);
      rotate(a.q_rope, a.q_rope.cos ? a.position[t] : 0, q);
    }
  }
}

}  // namespace

void append(Context* context, const AppendArgs& a) {
  const int64_t tokens = a.x.rows;
  cpu::parallel_for(context, (tokens + kTaskTokens - 1) / kTaskTokens, [&](int64_t index, int32_t thread) {
    const int64_t first = index * kTaskTokens;
    const int64_t last = first + kTaskTokens < tokens ? first + kTaskTokens : tokens;
    float* head = reinterpret_cast<float*>(context->scratch + thread * context->scratch_bytes);
    write_queries(a, first, last);
    if (a.pool.data == nullptr) return;
    if (a.pool.type == DType::bf16) {
      append_keys<bf16>(a, first, last, head);
    } else {
      append_keys<float>(a, first, last, head);
    }
  });
}

}  // namespace REDLLM_ISA_NAMESPACE

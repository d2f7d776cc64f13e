// Heads of a fused product to Q and to pages of K and V: norm, rotation and rounding in one pass. A row of x is (heads + 2 kv_heads)
// heads, one after the other, so the work is a list of heads: a head is held by head_dim / 8 lanes (rounded up to a power of two), 8
// elements each, and a warp takes as many heads as fit. Bound by memory: 4 bytes read, 4 (Q) or the pool's 2 or 4 (K, V) written an
// element.
#include "cuda/ops/four.cuh"
#include "cuda/ops/row_norm.cuh"

namespace redllm::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kLaneElements = 8;

struct AppendParams {
  AppendArgs a;
  PageLayout layout;
  uint32_t parts;  // heads of a token that are taken
  uint32_t count;  // of all tokens
  int lanes;       // of a head
};

struct HeadRow {
  const float* x;
  float factor;
  const float* gain;
};

// 4 elements from element i on.
__device__ __forceinline__ void normed(float (&y)[4], const HeadRow& row, int32_t i) {
  load_four(y, row.x + i);
  for (int j = 0; j < 4; ++j) y[j] *= row.factor;
  if (row.gain == nullptr) return;
  for (int j = 0; j < 4; ++j) y[j] *= row.gain[i + j];
}

// Element i, of value y before the rotation. Its partner is read again: the first-level cache still has it.
__device__ __forceinline__ float rotated(float y, float partner, float cos, float sin, bool low) {
  return low ? y * cos - partner * sin : y * cos + partner * sin;
}

__device__ __forceinline__ void rotate(float (&y)[4], const HeadRow& row, const Rope& rope, int64_t position,
                                       int32_t i) {
  const float *cos = rope.cos + position * rope.half, *sin = rope.sin + position * rope.half;
  if (rope.half % 4 == 0) {
    if (i >= 2 * rope.half) return;
    const bool low = i < rope.half;
    const int32_t at = low ? i : i - rope.half;
    float partner[4], c[4], s[4];
    normed(partner, row, low ? i + rope.half : at);
    load_four(c, cos + at);
    load_four(s, sin + at);
    for (int j = 0; j < 4; ++j) y[j] = rotated(y[j], partner[j], c[j], s[j], low);
    return;
  }
  for (int j = 0; j < 4; ++j) {
    if (i + j >= 2 * rope.half) return;
    const bool low = i + j < rope.half;
    const int32_t at = low ? i + j : i + j - rope.half, other = low ? at + rope.half : at;
    float partner = row.x[other] * row.factor;
    if (row.gain != nullptr) partner *= row.gain[other];
    y[j] = rotated(y[j], partner, cos[at], sin[at], low);
  }
}

__global__ void __launch_bounds__(kThreads) append_kernel(const AppendParams p) {
  await_earlier_launches();
  const AppendArgs& a = p.a;
  const int32_t dim = a.head_dim;
  const int lane = static_cast<int>(threadIdx.x) % p.lanes;
  const uint32_t item = blockIdx.x * (kThreads / p.lanes) + threadIdx.x / p.lanes;
  const bool held = item < p.count && lane * kLaneElements < dim;
  const uint32_t t = held ? item / p.parts : 0, part = held ? item % p.parts : 0;
  const int32_t i = lane * kLaneElements;
  HeadRow row = {static_cast<const float*>(a.x.data) + t * a.x.cols + static_cast<int64_t>(part) * dim, 1.0f, nullptr};
  float y[2][4] = {};
  if (held) {
    load_four(y[0], row.x + i);
    load_four(y[1], row.x + i + 4);
  }
  float squares = 0;
  for (int j = 0; j < 2; ++j)
    for (int k = 0; k < 4; ++k) squares += y[j][k] * y[j][k];
  squares = group_sum(squares, p.lanes);
  if (!held) return;

  const int32_t heads = a.heads, value_part = heads + a.kv_heads, h = static_cast<int32_t>(part);
  const bool query = h < heads, value = h >= value_part;
  if (!query && a.page[t] < 0) return;
  const HeadNorm& norm = query ? a.q_norm : value ? a.v_norm : a.k_norm;
  if (norm.on) {
    row.factor = rms_factor(squares, dim, norm.eps);
    row.gain = norm.gain;
    normed(y[0], row, i);
    normed(y[1], row, i + 4);
  }
  const Rope& rope = query ? a.q_rope : a.k_rope;
  if (!value && rope.cos != nullptr) {
    rotate(y[0], row, rope, a.position[t], i);
    rotate(y[1], row, rope, a.position[t], i + 4);
  }
  if (query) {
    float* q = static_cast<float*>(a.q.data) + (static_cast<int64_t>(t) * heads + h) * dim + i;
    store_four(q, y[0]);
    store_four(q + 4, y[1]);
    return;
  }
  const int64_t at = a.page[t] * p.layout.page + p.layout.layer + (h - (value ? value_part : heads)) * p.layout.head +
                     (value ? p.layout.value : 0) + static_cast<int64_t>(a.in_page[t]) * dim + i;
  if (a.pool.type == DType::bf16) {
    *reinterpret_cast<uint4*>(static_cast<uint16_t*>(a.pool.data) + at) =
        make_uint4(pack_bf16(y[0][0], y[0][1]), pack_bf16(y[0][2], y[0][3]), pack_bf16(y[1][0], y[1][1]),
                   pack_bf16(y[1][2], y[1][3]));
  } else {
    store_four(static_cast<float*>(a.pool.data) + at, y[0]);
    store_four(static_cast<float*>(a.pool.data) + at + 4, y[1]);
  }
}

}  // namespace

void append(Context* context, const AppendArgs& a) {
  AppendParams p = {a, {}, static_cast<uint32_t>(a.heads), 0, 1};
  if (a.pool.data != nullptr) {
    p.parts += 2 * static_cast<uint32_t>(a.kv_heads);
    p.layout = page_layout(a.pool, a.layer);
  }
  p.count = static_cast<uint32_t>(a.x.rows) * p.parts;
  while (p.lanes * kLaneElements < a.head_dim) p.lanes *= 2;
  launch(context, "append", append_kernel, dim3(divided_up(p.count, kThreads / p.lanes)), kThreads, 0, p);
}

}  // namespace redllm::cuda

// Attention whose every product is an f32 fma: no tensor core rounds like that. A block takes 16 queries of one head and one
// sequence and walks over tiles of 32 keys at absolute multiples of 32. Eight neighbouring lanes share a row: each has four of a
// tile's scores, and every eighth group of four elements of the output.
//
// A score is one accumulator over the elements, an output one over the keys, both ascending; a key that the row does not see is not
// touched, so that it may hold anything.
#include "cuda/ops/attention_float.cuh"

#include "cuda/ops/attention_place.cuh"

namespace redllm::cuda {

namespace {

constexpr int kRows = 16;  // queries of a block
constexpr int kRowLanes = 8;
constexpr int kThreads = kRows * kRowLanes;
constexpr int kKeys = 32;  // of a tile
constexpr int kLaneKeys = kKeys / kRowLanes;
constexpr int kMaxDim = 256;
constexpr int kGroups = kMaxDim / (4 * kRowLanes);  // of four elements, a lane
constexpr int kWeightStride = kKeys + kRowLanes;

// Floats from a row in shared memory to the next: eight rows of 16 bytes lie in different banks.
__device__ __forceinline__ int row_stride(int32_t head_dim) {
  return head_dim + 4;
}

struct Limits {
  int32_t left[kRows], right[kRows];
};

// A value's `kRowLanes` neighbours to their sum or greatest, in a fixed order.
__device__ __forceinline__ float row_sum(float x) {
#pragma unroll
  for (int mask = 1; mask < kRowLanes; mask *= 2) x += shuffle_xor(x, mask);
  return x;
}
__device__ __forceinline__ float row_max(float x) {
#pragma unroll
  for (int mask = 1; mask < kRowLanes; mask *= 2) x = fmaxf(x, shuffle_xor(x, mask));
  return x;
}

// Keys first_key .. last_key - 1 to rows of shared memory, in f32.
__device__ __forceinline__ void load_tile(float* to, const char* head, const AttentionSegment& segment,
                                          const int32_t* table, int32_t head_dim, int32_t first_key, int32_t last_key) {
  const int pieces = head_dim / 4;
  for (int i = threadIdx.x; i < (last_key - first_key) * pieces; i += kThreads) {
    const int row = i / pieces, piece = i % pieces;
    const int32_t key = first_key + row;
    const int64_t element = key % kPageTokens * head_dim + piece * 4;
    const char* page = head + int64_t{table[key / kPageTokens]} * segment.page_bytes;
    float4 x;
    if (segment.half) {
      const uint2 packed = *reinterpret_cast<const uint2*>(page + element * 2);
      x = make_float4(low_bf16(packed.x), high_bf16(packed.x), low_bf16(packed.y), high_bf16(packed.y));
    } else {
      x = *reinterpret_cast<const float4*>(page + element * 4);
    }
    *reinterpret_cast<float4*>(to + row * row_stride(head_dim) + piece * 4) = x;
  }
}

__global__ void __launch_bounds__(kThreads, 3) float_kernel(const AttentionParams p) {
  await_earlier_launches();
  const QueryTile tile = find_tile<kRows>(p);
  if (tile.rows <= 0) return;
  const int32_t head = tile.head;

  const int32_t stride = row_stride(p.head_dim);
  float* const q_tile = reinterpret_cast<float*>(shared_memory());
  float* const k_tile = q_tile + kRows * stride;
  float* const v_tile = k_tile + kKeys * stride;
  float* const weights = v_tile + kKeys * stride;  // [kRows][kWeightStride]
  Limits& limits = *reinterpret_cast<Limits*>(weights + kRows * kWeightStride);

  const int row = threadIdx.x / kRowLanes, lane = threadIdx.x % kRowLanes;
  const bool exists = row < tile.rows;
  const int64_t token = int64_t{tile.first_token} + (exists ? row : 0);
  const int64_t at = token * (int64_t{p.heads} * p.head_dim) + int64_t{head} * p.head_dim;
  for (int d = lane * 4; d < p.head_dim; d += kRowLanes * 4)
    *reinterpret_cast<float4*>(q_tile + row * stride + d) = *reinterpret_cast<const float4*>(p.q + at + d);

  float maximum = -INFINITY, sum = 0;
  float4 out[kGroups];
#pragma unroll
  for (int g = 0; g < kGroups; ++g) out[g] = make_float4(0, 0, 0, 0);

  for (int32_t s = 0; s < p.segments; ++s) {
    const AttentionSegment segment = s == 0 ? p.segment[0] : p.segment[1];
    int32_t left = max(0, segment.left[token]), right = exists ? segment.right[token] : 0;
    if (left >= right) left = INT_MAX, right = 0;
    sync_block();
    limits.left[row] = left;
    limits.right[row] = right;
    sync_block();
    int32_t low = INT_MAX, high = 0;
    for (int r = 0; r < kRows; ++r) {
      low = min(low, limits.left[r]);
      high = max(high, limits.right[r]);
    }
    if (low >= high) continue;
    const int32_t* const table = segment.pages + segment.page_start[tile.sequence];
    const char* const keys = segment.data + int64_t{head / p.shared} * segment.head_bytes;
    const float* const bias = s == 0 && p.bias != nullptr ? p.bias + int64_t{head} * (2 * p.reach + 1) : nullptr;
    const int32_t index = bias != nullptr ? p.query_index[token] : 0;

    for (int32_t first_key = low / kKeys * kKeys; first_key < high; first_key += kKeys) {
      // Pages of keys that no query sees are not looked up.
      const int32_t from = max(first_key, low), to = min(first_key + kKeys, high);
      sync_block();
      load_tile(k_tile + (from - first_key) * stride, keys, segment, table, p.head_dim, from, to);
      load_tile(v_tile + (from - first_key) * stride, keys + segment.value_bytes, segment, table, p.head_dim, from, to);
      sync_block();

      float score[kLaneKeys] = {};
      for (int d = 0; d < p.head_dim; d += 4) {
        const float4 q = *reinterpret_cast<const float4*>(q_tile + row * stride + d);
#pragma unroll
        for (int j = 0; j < kLaneKeys; ++j) {
          const float4 k = *reinterpret_cast<const float4*>(k_tile + (j * kRowLanes + lane) * stride + d);
          score[j] = fmaf(q.x, k.x, score[j]);
          score[j] = fmaf(q.y, k.y, score[j]);
          score[j] = fmaf(q.z, k.z, score[j]);
          score[j] = fmaf(q.w, k.w, score[j]);
        }
      }
      float top = -INFINITY;
#pragma unroll
      for (int j = 0; j < kLaneKeys; ++j) {
        const int32_t key = first_key + j * kRowLanes + lane;
        float x = score[j] * p.q_sign;
        x = (p.tanh_scale != 0 ? tanhf(x * p.tanh_scale) : x) * p.exponent_scale;
        if (bias != nullptr) x = fmaf(bias[min(max(key - index, -p.reach), p.reach) + p.reach], kLog2E, x);
        score[j] = key >= left && key < right ? x : -INFINITY;
        top = fmaxf(top, score[j]);
      }
      const float old = maximum;
      maximum = fmaxf(old, row_max(top));
      const float factor = maximum == old ? 1.0f : exp2_fast(old - maximum);
      const float shift = maximum == -INFINITY ? 0.0f : maximum;
      sum *= factor;
#pragma unroll
      for (int j = 0; j < kLaneKeys; ++j) {
        const float weight = exp2_fast(score[j] - shift);
        sum += weight;
        weights[row * kWeightStride + j * kRowLanes + lane] = weight;
      }
#pragma unroll
      for (int g = 0; g < kGroups; ++g)
        out[g] = make_float4(out[g].x * factor, out[g].y * factor, out[g].z * factor, out[g].w * factor);
      sync_warp();  // a row lies in one warp

      const int32_t last = min(to, right) - first_key;
      for (int32_t key = max(from, left) - first_key; key < last; ++key) {
        const float weight = weights[row * kWeightStride + key];
        const float* v = v_tile + key * stride + lane * 4;
#pragma unroll
        for (int g = 0; g < kGroups; ++g) {
          if (g * kRowLanes * 4 + lane * 4 >= p.head_dim) break;
          const float4 x = *reinterpret_cast<const float4*>(v + g * kRowLanes * 4);
          out[g].x = fmaf(weight, x.x, out[g].x);
          out[g].y = fmaf(weight, x.y, out[g].y);
          out[g].z = fmaf(weight, x.z, out[g].z);
          out[g].w = fmaf(weight, x.w, out[g].w);
        }
      }
    }
  }

  sum = row_sum(sum);
  const float inverse = sum == 0 ? 0.0f : 1.0f / sum;
  float squares = 0;
#pragma unroll
  for (int g = 0; g < kGroups; ++g) {
    out[g] = make_float4(out[g].x * inverse, out[g].y * inverse, out[g].z * inverse, out[g].w * inverse);
    squares = fmaf(out[g].x, out[g].x, squares);
    squares = fmaf(out[g].y, out[g].y, squares);
    squares = fmaf(out[g].z, out[g].z, squares);
    squares = fmaf(out[g].w, out[g].w, squares);
  }
  const float mean = row_sum(squares) / static_cast<float>(p.head_dim);
  const float factor = p.out_norm.on && sum != 0 ? 1.0f / sqrtf(mean + p.out_norm.eps) : 1.0f;
  if (!exists) return;
#pragma unroll
  for (int g = 0; g < kGroups; ++g) {
    const int column = (g * kRowLanes + lane) * 4;
    if (column >= p.head_dim) break;
    float4 y = make_float4(out[g].x * factor, out[g].y * factor, out[g].z * factor, out[g].w * factor);
    if (p.out_norm.on && p.out_norm.gain != nullptr) {
      y.x *= p.out_norm.gain[column];
      y.y *= p.out_norm.gain[column + 1];
      y.z *= p.out_norm.gain[column + 2];
      y.w *= p.out_norm.gain[column + 3];
    }
    if (p.half_out) {
      *reinterpret_cast<uint2*>(static_cast<uint16_t*>(p.out) + at + column) =
          make_uint2(pack_bf16(y.x, y.y), pack_bf16(y.z, y.w));
    } else {
      *reinterpret_cast<float4*>(static_cast<float*>(p.out) + at + column) = y;
    }
  }
}

}  // namespace

void attention_float(Context* context, const AttentionParams& p, int64_t tokens) {
  const size_t floats =
      static_cast<size_t>(kRows + 2 * kKeys) * static_cast<size_t>(p.head_dim + 4) + kRows * kWeightStride;
  const dim3 grid(query_tiles(tokens, p.sequences, kRows) * static_cast<uint32_t>(p.heads));
  launch(context, "launching attention in float32", float_kernel, grid, kThreads,
         floats * sizeof(float) + sizeof(Limits), p);
}

}  // namespace redllm::cuda

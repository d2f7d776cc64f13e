// Where queries look: probabilities summed over bins of keys. It is read and never served, so it is plain: a warp has one head of one
// token, and a lane every 32nd key, whose logit it works out anew for the maximum, for the sum and for the bins. All of it in f32
// (queries are not rounded); a bin is summed lane by lane over its own keys, then over lanes, whatever stands beside it.
#include "cuda/ops/attention_params.cuh"

namespace redllm::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarp;

struct MassParams {
  AttentionSegment keys;
  const float* q;  // [tokens, heads * head_dim]
  const int32_t* sequence;
  const int32_t* query_index;
  const float* bias;
  int32_t reach;
  int64_t tasks;  // tokens * heads
  int32_t heads, shared, head_dim;
  float scale, softcap;
  bool recent;
  int32_t back, bins;
  float* mass;
};

struct Query {
  const float* q;
  const char* keys;  // of the head, in page 0
  const int32_t* table;
  const float* bias;  // of the head; null: none
  int32_t index;
};

__device__ __forceinline__ float logit_of(const MassParams& p, const Query& query, int32_t key) {
  const char* page = query.keys + int64_t{query.table[key / kPageTokens]} * p.keys.page_bytes;
  const int64_t first = int64_t{key % kPageTokens} * p.head_dim;
  float sum = 0;
  for (int32_t d = 0; d < p.head_dim; d += 2) {
    float low, high;
    if (p.keys.half) {
      const uint32_t pair = *reinterpret_cast<const uint32_t*>(page + (first + d) * 2);
      low = low_bf16(pair), high = high_bf16(pair);
    } else {
      const float* x = reinterpret_cast<const float*>(page) + first + d;
      low = x[0], high = x[1];
    }
    sum = fmaf(query.q[d], low, sum);
    sum = fmaf(query.q[d + 1], high, sum);
  }
  sum *= p.scale;
  if (p.softcap != 0) sum = p.softcap * tanhf(sum / p.softcap);
  if (query.bias != nullptr) sum += query.bias[min(max(key - query.index, -p.reach), p.reach) + p.reach];
  return sum;
}

// The first key of bin b. Bins that the keys do not reach are empty.
__device__ __forceinline__ int32_t first_key(const MassParams& p, int32_t b, int32_t index, int32_t right) {
  if (b == 0) return 0;
  if (b == p.bins) return right;
  if (p.recent) return min(max(b == 1 ? index - p.back : index + 1, 0), right);
  return static_cast<int32_t>((int64_t{b} * right + p.bins - 1) / p.bins);
}

__global__ void __launch_bounds__(kThreads) mass_kernel(const MassParams p) {
  await_earlier_launches();
  const int64_t task = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (task >= p.tasks) return;  // the whole warp
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % kWarp;
  const int64_t token = task / p.heads;
  const int32_t head = static_cast<int32_t>(task % p.heads);
  const Query query = {p.q + task * p.head_dim, p.keys.data + int64_t{head / p.shared} * p.keys.head_bytes,
                       p.keys.pages + p.keys.page_start[p.sequence[token]],
                       p.bias == nullptr ? nullptr : p.bias + int64_t{head} * (2 * p.reach + 1), p.query_index[token]};
  const int32_t left = max(p.keys.left[token], 0), right = max(p.keys.right[token], 0);

  float greatest = -INFINITY;
  for (int32_t key = left + lane; key < right; key += kWarp) greatest = fmaxf(greatest, logit_of(p, query, key));
  for (int mask = 1; mask < kWarp; mask *= 2) greatest = fmaxf(greatest, shuffle_xor(greatest, mask));
  const auto sum_of = [&](int32_t from, int32_t to) {
    float sum = 0;
    for (int32_t key = from + lane; key < to; key += kWarp)
      sum += exp2_fast((logit_of(p, query, key) - greatest) * kLog2E);
    for (int mask = 1; mask < kWarp; mask *= 2) sum += shuffle_xor(sum, mask);
    return sum;
  };
  const float all = sum_of(left, right), inverse = left < right ? 1.0f / all : 0.0f;
  for (int32_t b = 0; b < p.bins; ++b) {
    const float sum = sum_of(max(left, first_key(p, b, query.index, right)), first_key(p, b + 1, query.index, right));
    if (lane == 0) p.mass[task * p.bins + b] = sum * inverse;
  }
}

}  // namespace

void attention_mass(Context* context, const AttentionMassArgs& args) {
  const AttentionArgs& a = args.attention;
  MassParams p = {};
  p.keys = attention_segment(a.segment[0]);
  p.q = a.q.as<const float>();
  p.sequence = a.sequence;
  p.query_index = a.query_index;
  p.bias = a.bias;
  p.reach = a.reach;
  p.tasks = a.q.rows * a.heads;
  p.heads = a.heads;
  p.shared = a.heads / a.segment[0].pool.kv_heads;
  p.head_dim = a.head_dim;
  p.scale = a.scale;
  p.softcap = a.softcap;
  p.recent = args.kind == KeyBins::recent;
  p.back = args.back;
  p.bins = args.bins;
  p.mass = args.mass;
  launch(context, "attention_mass", mass_kernel, dim3(divided_up(p.tasks, kWarps)), kThreads, 0, p);
}

}  // namespace redllm::cuda

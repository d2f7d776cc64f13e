// The first of the sampler's two kernels: blocks of 4096 tokens each. What is left of a slice of a row is its greatest logit, and the
// sum that the model's log-probabilities need; rows with penalties, biases or a list of allowed tokens are written anew, and the
// model's logits stay.
#pragma once

#include "cuda/ops/sample_row.cuh"

namespace redllm::cuda {

constexpr int kPrepareThreads = 256;
constexpr int kPreparePieces = 4;  // of four tokens, a thread
constexpr int32_t kSlice = kPrepareThreads * kPreparePieces * 4;

struct Slice {
  uint64_t
      best;  // of the altered logits: ordered(greatest), and ~token below it, so that the lowest token wins among equals
  uint64_t mass;  // of e^(logit - top)
  float top;      // of the model's logits
};

struct SampleParams {
  SampleArgs a;
  int64_t first;   // row of this launch
  int32_t slices;  // of a row
  bool vector;
  Slice* slice;    // [rows of this launch, slices]
  float* altered;  // [rows of this launch, vocabulary]
};

__device__ __forceinline__ bool penalised(const SampleArgs& a, int64_t row) {
  return a.forced[row] < 0 && a.slot[row] >= 0 &&
         (a.repetition[row] != 1 || a.presence[row] != 0 || a.frequency[row] != 0);
}
__device__ __forceinline__ bool biased(const SampleArgs& a, int64_t row) {
  return a.bias_start[row] < a.bias_start[row + 1];
}
__device__ __forceinline__ bool listed(const SampleArgs& a, int64_t row) {
  return a.allow_start[row] < a.allow_start[row + 1];
}
// Whether a row's logits are written anew.
__device__ __forceinline__ bool altered(const SampleArgs& a, int64_t row) {
  return penalised(a, row) || biased(a, row) || listed(a, row);
}

// A finite logit stays one whatever is taken off it: only a ban is -infinity.
__device__ __forceinline__ float unbanned(float x) {
  return max(cleaned(x), -kLogitMax);
}

// Steps 2 and 3, of tokens [i, i + 4).
__device__ __forceinline__ void penalise(float (&x)[4], const SampleArgs& a, int64_t row, int32_t i) {
  const float repetition = a.repetition[row], presence = a.presence[row], frequency = a.frequency[row];
  const int32_t vocabulary = static_cast<int32_t>(a.logits.cols);
  const int32_t* prompt = a.history + a.slot[row] * int64_t{2} * vocabulary + i;
  const int32_t* output = prompt + vocabulary;
  for (int j = 0; j < 4; ++j) {
    if (i + j >= vocabulary || is_banned(x[j])) continue;
    const int32_t times = output[j];
    float y = x[j];
    if ((prompt[j] | times) != 0) y = y > 0 ? y / repetition : y * repetition;
    y -= frequency * static_cast<float>(times) + (times > 0 ? presence : 0.0f);
    x[j] = unbanned(y);
  }
}

__device__ __forceinline__ float with_bias(float x, float bias) {
  return is_banned(x) || is_banned(bias) ? -float_of_bits(kInfiniteBits) : unbanned(x + bias);
}

// Step 4, on tokens [begin, begin + kSlice). hits: zeros, a word a token
__device__ __forceinline__ void add_biases(float* x, uint32_t* hits, const SampleArgs& a, int64_t row, int32_t begin) {
  const int32_t first = a.bias_start[row], last = a.bias_start[row + 1];
  const auto place = [&](int32_t i) { return static_cast<uint32_t>(a.bias_token[i] - begin); };
  for (int32_t i = first + static_cast<int32_t>(threadIdx.x); i < last; i += kPrepareThreads)
    if (place(i) < kSlice) atomic_add(hits + place(i), 1u);
  sync_block();
  for (int32_t i = first + static_cast<int32_t>(threadIdx.x); i < last; i += kPrepareThreads) {
    const uint32_t at = place(i);
    if (at >= kSlice) continue;
    if (hits[at] == 1) {
      x[at] = with_bias(x[at], a.bias_value[i]);
      continue;
    }
    // The first of several biases of one token adds them all, in order.
    bool first_of_token = true;
    for (int32_t j = first; j < i; ++j) first_of_token = first_of_token && place(j) != at;
    if (!first_of_token) continue;
    float sum = x[at];
    for (int32_t j = i; j < last; ++j)
      if (place(j) == at) sum = with_bias(sum, a.bias_value[j]);
    x[at] = sum;
  }
}

struct PrepareBoard {
  float x[kSlice];
  uint32_t hits[kSlice];
  uint8_t allowed[kSlice];
  uint64_t warps[kPrepareThreads / kWarp];
};

// Over the block; `board.warps` is free again once all threads have passed another barrier.
template <typename T>
__device__ __forceinline__ T block_max(T x, uint64_t* warps) {
  T* room = reinterpret_cast<T*>(warps);
  x = warp_max(x);
  if (threadIdx.x % kWarp == 0) room[threadIdx.x / kWarp] = x;
  sync_block();
  for (int i = 0; i < kPrepareThreads / kWarp; ++i) x = room[i] > x ? room[i] : x;
  return x;
}

__global__ void __launch_bounds__(kPrepareThreads) prepare_kernel(const SampleParams p) {
  await_earlier_launches();
  PrepareBoard& board = *reinterpret_cast<PrepareBoard*>(shared_memory());
  const SampleArgs& a = p.a;
  const int32_t vocabulary = static_cast<int32_t>(a.logits.cols), thread = static_cast<int32_t>(threadIdx.x);
  const int64_t row = p.first + blockIdx.y;
  const int32_t begin = static_cast<int32_t>(blockIdx.x) * kSlice;
  const float* logits = static_cast<const float*>(a.logits.data) + row * vocabulary;
  const auto piece = [=](int j) { return (j * kPrepareThreads + thread) * 4; };
  Slice slice = {0, 0, 0};

  float x[kPreparePieces][4];
#pragma unroll
  for (int j = 0; j < kPreparePieces; ++j) load_logits(x[j], logits, begin + piece(j), vocabulary, p.vector);

  if (a.alternatives[row] >= 0) {
    float top = -float_of_bits(kInfiniteBits);
#pragma unroll
    for (int j = 0; j < kPreparePieces; ++j) top = max(top, max(max(x[j][0], x[j][1]), max(x[j][2], x[j][3])));
    slice.top = block_max(top, board.warps);
    sync_block();
    uint64_t mass = 0;
#pragma unroll
    for (int j = 0; j < kPreparePieces; ++j) {
#pragma unroll
      for (int k = 0; k < 4; ++k)
        if (!is_banned(x[j][k])) mass += mass_of(key_of(slice.top, x[j][k]), kLog2E);
    }
    mass = warp_sum(mass);
    if (thread % kWarp == 0) board.warps[thread / kWarp] = mass;
    sync_block();
    for (int i = 0; i < kPrepareThreads / kWarp; ++i) slice.mass += board.warps[i];
    sync_block();
  }

  if (altered(a, row)) {
    const bool narrow = listed(a, row);
#pragma unroll
    for (int j = 0; j < kPreparePieces; ++j) {
      if (penalised(a, row)) penalise(x[j], a, row, begin + piece(j));
      for (int k = 0; k < 4; ++k) {
        board.x[piece(j) + k] = x[j][k];
        board.hits[piece(j) + k] = 0;
        board.allowed[piece(j) + k] = narrow ? 0 : 1;
      }
    }
    sync_block();
    for (int32_t i = a.allow_start[row] + thread; i < a.allow_start[row + 1]; i += kPrepareThreads) {
      const uint32_t at = static_cast<uint32_t>(a.allow_token[i] - begin);
      if (at < kSlice) board.allowed[at] = 1;
    }
    add_biases(board.x, board.hits, a, row, begin);
    sync_block();
    float* to = p.altered + static_cast<int64_t>(blockIdx.y) * vocabulary;
#pragma unroll
    for (int j = 0; j < kPreparePieces; ++j) {
      for (int k = 0; k < 4; ++k) {
        const int32_t at = piece(j) + k;
        x[j][k] = board.allowed[at] ? board.x[at] : -float_of_bits(kInfiniteBits);
        if (!p.vector && begin + at < vocabulary) to[begin + at] = x[j][k];
      }
      if (p.vector && begin + piece(j) < vocabulary) {
        *reinterpret_cast<float4*>(to + begin + piece(j)) = make_float4(x[j][0], x[j][1], x[j][2], x[j][3]);
      }
    }
  }

  uint64_t best = 0;
#pragma unroll
  for (int j = 0; j < kPreparePieces; ++j) {
    for (int k = 0; k < 4; ++k) {
      const uint32_t token = static_cast<uint32_t>(begin + piece(j) + k);
      const uint64_t value = static_cast<uint64_t>(ordered(x[j][k])) << 32 | ~token;
      best = value > best ? value : best;
    }
  }
  slice.best = block_max(best, board.warps);
  if (thread == 0) p.slice[static_cast<int64_t>(blockIdx.y) * p.slices + blockIdx.x] = slice;
}

}  // namespace redllm::cuda

// Norms over the last axis. A row is held by a warp or by up to 32 of them, as its width says: 8 elements a thread in registers, wider
// rows' rest in shared memory, and what does not fit there (beyond 32768 elements) is read again. The variance of a layer norm is of
// the held values less their mean. Bound by memory: each byte once; a row of a decoding step costs one latency of memory and two or
// three barriers, so gain, bias and what is added to are asked for together with the row.
#include "cuda/ops/four.cuh"
#include "cuda/ops/row_norm.cuh"

namespace redllm::cuda {
namespace {

constexpr int kMaxThreads = 1024;
constexpr int kMinBlock = 128;
constexpr int kHeld = 2;                // pieces of four elements in a thread's registers
constexpr int32_t kShared = 24 * 1024;  // elements of a row

struct NormParams {
  NormArgs a;
  int warps;     // of a row
  int rows;      // of a block
  int32_t kept;  // first element that is kept nowhere
  bool vector;   // every access of four elements is aligned
};

// Elements i .. i + 3 of a row, zeros beyond its end.
__device__ __forceinline__ void load_piece(float (&x)[4], const float* row, int32_t i, const NormParams& p) {
  if (p.vector) return load_four(x, row + i);
  for (int j = 0; j < 4; ++j) x[j] = i + j < p.a.x.cols ? row[i + j] : 0.0f;
}

__device__ __forceinline__ void store_piece(const Tensor& to, int64_t row, int32_t i, const float (&x)[4],
                                            const NormParams& p) {
  const int64_t at = row * to.cols + i;
  if (to.type == DType::bf16) {
    uint16_t* out = static_cast<uint16_t*>(to.data) + at;
    if (p.vector) return store_four(out, x);
    for (int j = 0; j < 4; ++j)
      if (i + j < to.cols) out[j] = to_bf16(x[j]);
  } else {
    float* out = static_cast<float*>(to.data) + at;
    if (p.vector) return store_four(out, x);
    for (int j = 0; j < 4; ++j)
      if (i + j < to.cols) out[j] = x[j];
  }
}

struct Scale {
  float mean, factor;
};

// What four elements are scaled by and added to.
struct Terms {
  float gain[4], bias[4], before[4];
};

__device__ __forceinline__ void load_weights(Terms& t, int32_t i, const NormParams& p) {
  for (int j = 0; j < 4; ++j) t.gain[j] = 1, t.bias[j] = 0;
  if (p.a.gain != nullptr) load_piece(t.gain, p.a.gain, i, p);
  if (p.a.bias != nullptr) load_piece(t.bias, p.a.bias, i, p);
}
__device__ __forceinline__ void load_before(Terms& t, int64_t row, int32_t i, const NormParams& p) {
  for (int j = 0; j < 4; ++j) t.before[j] = 0;
  if (p.a.accumulate) load_piece(t.before, static_cast<const float*>(p.a.out.data) + row * p.a.out.cols, i, p);
}

__device__ __forceinline__ void finish_piece(const float (&x)[4], const Terms& t, Scale s, int64_t row, int32_t i,
                                             const NormParams& p) {
  float y[4];
  for (int j = 0; j < 4; ++j) y[j] = (x[j] - s.mean) * s.factor * t.gain[j] + t.bias[j];
  if (p.a.copy.data != nullptr) store_piece(p.a.copy, row, i, y, p);
  for (int j = 0; j < 4; ++j) y[j] += t.before[j];
  store_piece(p.a.out, row, i, y, p);
}

__global__ void __launch_bounds__(kMaxThreads) norm_kernel(const NormParams p) {
  const NormArgs& a = p.a;
  const int32_t width = static_cast<int32_t>(a.x.cols), step = p.warps * kWarp * 4;
  const int threads = p.warps * kWarp, group = static_cast<int>(threadIdx.x) / threads;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * p.rows + group;
  const bool there = row < a.x.rows;
  const float* x = static_cast<const float*>(a.x.data) + (there ? row * width : 0);
  const int32_t first = (static_cast<int>(threadIdx.x) - group * threads) * 4, rest = first + kHeld * step;
  float* room = reinterpret_cast<float*>(shared_memory());
  // Every thread reads back its own elements alone. Only rows that have a block to themselves are that wide.
  float* kept = room + kWarp;
  const auto load_rest = [&](float (&piece)[4], int32_t i) {
    i < p.kept ? load_four(piece, kept + (i - kHeld * step)) : load_piece(piece, x, i, p);
  };

  Terms terms[kHeld];
  for (int j = 0; j < kHeld; ++j)
    if (first + j * step < width) load_weights(terms[j], first + j * step, p);
  await_earlier_launches();
  float held[kHeld][4] = {};
  for (int j = 0; j < kHeld; ++j)
    if (there && first + j * step < width) load_piece(held[j], x, first + j * step, p);
  for (int j = 0; j < kHeld; ++j)
    if (there && first + j * step < width) load_before(terms[j], row, first + j * step, p);
  for (int32_t i = rest; i < p.kept; i += step) {
    float piece[4];
    load_piece(piece, x, i, p);
    store_four(kept + (i - kHeld * step), piece);
  }

  const bool layer = a.kind == NormKind::layer;
  Scale scale = {0, 1};
  if (layer) {
    float sum = 0;
    for (int j = 0; j < kHeld; ++j) sum += (held[j][0] + held[j][1]) + (held[j][2] + held[j][3]);
    for (int32_t i = rest; i < width; i += step) {
      float piece[4];
      load_rest(piece, i);
      sum += (piece[0] + piece[1]) + (piece[2] + piece[3]);
    }
    scale.mean = warps_sum(sum, p.warps, room) / static_cast<float>(width);
  }
  float squares = 0;
  const auto add_squares = [&](const float (&piece)[4], int32_t i) {
    for (int k = 0; k < 4; ++k) {
      const float d = i + k < width ? piece[k] - scale.mean : 0.0f;
      squares += d * d;
    }
  };
  for (int j = 0; j < kHeld; ++j) add_squares(held[j], first + j * step);
  for (int32_t i = rest; i < width; i += step) {
    float piece[4];
    load_rest(piece, i);
    add_squares(piece, i);
  }
  scale.factor = rms_factor(warps_sum(squares, p.warps, room), width, a.eps);

  if (!there) return;
  for (int j = 0; j < kHeld; ++j)
    if (first + j * step < width) finish_piece(held[j], terms[j], scale, row, first + j * step, p);
  for (int32_t i = rest; i < width; i += step) {
    float piece[4];
    Terms rest_terms;
    load_rest(piece, i);
    load_weights(rest_terms, i, p);
    load_before(rest_terms, row, i, p);
    finish_piece(piece, rest_terms, scale, row, i, p);
  }
}

}  // namespace

void norm(Context* context, const NormArgs& a) {
  const int32_t width = static_cast<int32_t>(a.x.cols);
  NormParams p = {a, 1, 1, 0, false};
  while (p.warps * kWarp < kMaxThreads && p.warps * kWarp * kHeld * 4 < width) p.warps *= 2;
  const int threads = p.warps * kWarp, held = threads * kHeld * 4;
  p.rows = threads < kMinBlock ? kMinBlock / threads : 1;
  p.vector = width % 4 == 0 && is_aligned(a.x.data) && is_aligned(a.out.data) && is_aligned(a.copy.data) &&
             is_aligned(a.gain) && is_aligned(a.bias);
  const int32_t wide = width > held ? width - held : 0, kept = wide < kShared ? (wide + 3) / 4 * 4 : kShared;
  p.kept = held + kept;
  if (kept == 0) p.kept = 0;
  launch(context, "norm", norm_kernel, dim3(divided_up(a.x.rows, p.rows)), threads * p.rows,
         static_cast<size_t>(kWarp + kept) * sizeof(float), p);
}

}  // namespace redllm::cuda

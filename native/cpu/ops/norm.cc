// Norms over the last axis. Two passes over a row for rms, three for layer: a mean subtracted before squaring loses nothing where the
// mean is large.
#include "cpu/ops/ops_internal.h"
#include "cpu/ops/row_norm.h"

namespace REDLLM_ISA_NAMESPACE {

namespace {

constexpr int64_t kTaskElements = 16384;  // work that is worth handing to another thread

void store_row(const Tensor& to, int64_t row, int32_t i, vf value, int32_t n) {
  const int64_t at = row * to.cols + i;
  if (to.type == DType::bf16) {
    store_upto(static_cast<bf16*>(to.data) + at, value, n);
  } else {
    store_upto(static_cast<float*>(to.data) + at, value, n);
  }
}

float mean_of(const float* x, int32_t width) {
  const float sum = sum_terms(width, [x](vf sum, int32_t i, int32_t n) { return add(sum, load_upto(x + i, n)); });
  return sum / static_cast<float>(width);
}

float variance_of(const float* x, int32_t width, float mean) {
  const float sum = sum_terms(width, [x, mean](vf sum, int32_t i, int32_t n) {
    vf d = sub(load_upto(x + i, n), splat(mean));
    if (n < kLanes) d = keep_range(d, splat(0), 0, n);
    return fma(d, d, sum);
  });
  return sum / static_cast<float>(width);
}

void norm_row(const NormArgs& a, int64_t row) {
  const int32_t width = static_cast<int32_t>(a.x.cols);
  const float* x = static_cast<const float*>(a.x.data) + row * width;
  const bool layer = a.kind == NormKind::layer;
  const float mean = layer ? mean_of(x, width) : 0;
  const float factor = layer ? 1.0f / ::sqrtf(variance_of(x, width, mean) + a.eps) : rms_factor(x, width, a.eps);
  for_lanes(width, [&](int32_t i, int32_t n) {
    vf y = load_upto(x + i, n);
    if (layer) y = sub(y, splat(mean));
    y = mul(y, splat(factor));
    if (a.gain != nullptr) y = mul(y, load_upto(a.gain + i, n));
    if (a.bias != nullptr) y = add(y, load_upto(a.bias + i, n));
    if (a.copy.data != nullptr) store_row(a.copy, row, i, y, n);
    if (a.accumulate) y = add(load_upto(static_cast<const float*>(a.out.data) + row * width + i, n), y);
    store_row(a.out, row, i, y, n);
  });
}

}  // namespace

void norm(Context* context, const NormArgs& a) {
  const int64_t rows = a.x.rows;
  const int64_t block = a.x.cols >= kTaskElements ? 1 : kTaskElements / (a.x.cols + 1) + 1;
  cpu::parallel_for(context, (rows + block - 1) / block, [&](int64_t index, int32_t) {
    const int64_t last = (index + 1) * block < rows ? (index + 1) * block : rows;
    for (int64_t row = index * block; row < last; ++row) norm_row(a, row);
  });
}

}  // namespace REDLLM_ISA_NAMESPACE

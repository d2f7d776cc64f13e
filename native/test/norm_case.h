// A norm with everything it may be asked for, against a double-precision loop.
#pragma once

#include "guarded.h"

namespace redllm::test {

struct NormCase {
  int64_t rows, width;
  NormKind kind;
  bool gain, bias, accumulate, in_place;
  DType out, copy;
  bool copied;
};

inline NormCase random_norm_case(Random& random, int32_t most_rows, int32_t most_width) {
  const bool bf16 = coin(random);
  return {edge_size(random, 0, most_rows),
          edge_size(random, 1, most_width),
          static_cast<NormKind>(random.integer(0, 1)),
          coin(random),
          coin(random),
          !bf16 && coin(random),
          random.integer(0, 2) == 0,
          bf16 ? DType::bf16 : DType::f32,
          any_type(random),
          coin(random)};
}

inline std::vector<double> norm_reference(const std::vector<float>& x, const NormCase& c, const float* gain,
                                          const float* bias, float eps) {
  std::vector<double> y(x.size());
  for (int64_t r = 0; r < c.rows; ++r) {
    const float* row = x.data() + r * c.width;
    double mean = 0, square = 0;
    if (c.kind == NormKind::layer)
      for (int64_t i = 0; i < c.width; ++i) mean += row[i] / static_cast<double>(c.width);
    for (int64_t i = 0; i < c.width; ++i) square += (row[i] - mean) * (row[i] - mean) / static_cast<double>(c.width);
    for (int64_t i = 0; i < c.width; ++i)
      y[r * c.width + i] = (row[i] - mean) / std::sqrt(square + eps) * (gain ? gain[i] : 1) + (bias ? bias[i] : 0);
  }
  return y;
}

inline void check_norm(Backend& backend, Backend& twin, const NormCase& c, Random& random) {
  const size_t size = static_cast<size_t>(c.rows * c.width);
  const float eps = 1e-6f;
  std::vector<float> x = random.reals(size, 3);
  for (float& value : x) value += 0.5f;
  const bool in_place = c.in_place && c.out == DType::f32;
  const std::vector<float> before = in_place ? x : random.reals(size);
  const auto gain = random.reals(c.width), bias = random.reals(c.width);
  struct Result {
    std::vector<float> out, copy;
  };
  // Rows [first, first + rows).
  const auto run = [&](Backend& on, int64_t first, int64_t rows) {
    Output out(c.out, rows, c.width), copy(c.copy, rows, c.width), input(DType::f32, rows, c.width);
    std::copy_n(x.data() + first * c.width, rows * c.width, input.tensor().as<float>());
    if (c.accumulate && !in_place)
      std::copy_n(before.data() + first * c.width, rows * c.width, out.tensor().as<float>());
    on.ops().norm(on.context(),
                  {input.tensor(), in_place ? input.tensor() : out.tensor(), c.copied ? copy.tensor() : Tensor{},
                   c.kind, eps, c.gain ? gain.data() : nullptr, c.bias ? bias.data() : nullptr, c.accumulate});
    CHECK(input.intact() && out.intact() && copy.intact());
    return Result{in_place ? input.values() : out.values(), c.copied ? copy.values() : std::vector<float>()};
  };
  const Result got = run(backend, 0, c.rows);
  const auto y = norm_reference(x, c, c.gain ? gain.data() : nullptr, c.bias ? bias.data() : nullptr, eps);
  std::vector<double> want = y;
  for (size_t i = 0; i < size && c.accumulate; ++i) want[i] += before[i];
  CHECK(relative_error(got.out.data(), want.data(), size) < (c.out == DType::f32 ? 1e-6 : 4e-3));
  if (c.copied) CHECK(relative_error(got.copy.data(), y.data(), size) < (c.copy == DType::f32 ? 1e-6 : 4e-3));
  const Result again = run(twin, 0, c.rows);
  CHECK(same_bits(again.out, got.out) && same_bits(again.copy, got.copy));
  if (c.rows == 0) return;
  const Result last = run(backend, c.rows - 1, 1);
  CHECK(same_bits(last.out, {got.out.end() - c.width, got.out.end()}));
}

}  // namespace redllm::test

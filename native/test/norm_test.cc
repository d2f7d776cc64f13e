// Norms against a double-precision loop, and rows against themselves alone.
#include "guarded.h"

using namespace redllm;
using namespace redllm::test;

namespace {

struct Case {
  int64_t rows, width;
  NormKind kind;
  bool gain, bias, accumulate, in_place;
  DType out, copy;
  bool copied;
};

std::vector<double> reference(const std::vector<float>& x, const Case& c, const float* gain, const float* bias,
                              float eps) {
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

void run(Backend& backend, const Case& c, Random& random) {
  const size_t size = static_cast<size_t>(c.rows * c.width);
  const float eps = 1e-6f;
  std::vector<float> x = random.reals(size, 3), before = random.reals(size);
  for (float& value : x) value += 0.5f;
  const auto gain = random.reals(c.width), bias = random.reals(c.width);
  Output out(c.out, c.rows, c.width), copy(c.copy, c.rows, c.width), input(DType::f32, c.rows, c.width);
  std::copy(x.begin(), x.end(), input.tensor().as<float>());
  const bool in_place = c.in_place && c.out == DType::f32;
  if (c.accumulate && !in_place) std::copy(before.begin(), before.end(), out.tensor().as<float>());
  if (in_place) before = x;
  NormArgs args = {input.tensor(),
                   in_place ? input.tensor() : out.tensor(),
                   c.copied ? copy.tensor() : Tensor{},
                   c.kind,
                   eps,
                   c.gain ? gain.data() : nullptr,
                   c.bias ? bias.data() : nullptr,
                   c.accumulate};
  backend.ops().norm(backend.context(), args);
  const auto y = reference(x, c, args.gain, args.bias, eps);
  std::vector<double> want = y;
  if (c.accumulate)
    for (size_t i = 0; i < size; ++i) want[i] += before[i];
  const auto got = in_place ? input.values() : out.values();
  CHECK(relative_error(got.data(), want.data(), size) < (c.out == DType::f32 ? 1e-6 : 4e-3));
  if (c.copied) CHECK(relative_error(copy.values().data(), y.data(), size) < (c.copy == DType::f32 ? 1e-6 : 4e-3));
  CHECK(input.intact() && out.intact() && copy.intact());

  // The last row by itself.
  Output one(c.out, 1, c.width), row(DType::f32, 1, c.width);
  std::copy(x.end() - c.width, x.end(), row.tensor().as<float>());
  if (c.accumulate) std::copy(before.end() - c.width, before.end(), one.tensor().as<float>());
  args.x = row.tensor();
  args.out = one.tensor();
  args.copy = {};
  backend.ops().norm(backend.context(), args);
  CHECK(same_bits(one.values(), {got.end() - c.width, got.end()}));
}

}  // namespace

int main() {
  for (const auto& backend : every_backend()) {
    begin(backend->ops().name);
    Random random(1);
    const int64_t widths[] = {1, 3, 8, 15, 16, 17, 63, 64, 65, 100, 512, 1000, 2048};
    for (int round = 0; round < 120; ++round) {
      const bool bf16 = random.integer(0, 1);
      const bool accumulate = !bf16 && random.integer(0, 1);
      run(*backend,
          {random.integer(1, 70), widths[random.integer(0, 12)], static_cast<NormKind>(random.integer(0, 1)),
           random.integer(0, 1) == 1, random.integer(0, 1) == 1, accumulate, random.integer(0, 2) == 0,
           bf16 ? DType::bf16 : DType::f32, random.integer(0, 1) ? DType::bf16 : DType::f32, random.integer(0, 1) == 1},
          random);
    }
  }
  return report();
}

// A product with its epilogue, against a double-precision loop and against its rows alone.
#pragma once

#include "matmul_data.h"

namespace redllm::test {

inline double activated(Activation activation, double x) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::relu:
      return x < 0 ? 0 : x;
    case Activation::gelu:
      return x * 0.5 * std::erfc(-x / std::sqrt(2.0));
    case Activation::gelu_tanh:
      return x / (1 + std::exp(-2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::silu:
      return x / (1 + std::exp(-x));
  }
  return NAN;
}

struct MatmulCase {
  RowKind kind;
  DType type, out_type;
  int64_t rows;
  int32_t n, k;
  bool gated, bias, accumulate;
  Activation activation;
  float scale;
};

// At most `most` multiply-adds.
inline MatmulCase random_matmul_case(Random& random, int32_t most_rows, int64_t most) {
  MatmulCase c{};
  c.kind = static_cast<RowKind>(random.integer(0, 1));
  c.type = any_type(random);
  c.gated = random.integer(0, 2) == 0;
  do {
    c.rows = edge_size(random, 0, most_rows);
    c.n = edge_size(random, 1, 520);
    c.k = edge_size(random, 1, 1100);
    if (c.gated) c.n += c.n % 2;
  } while (c.rows * c.n * c.k > most);
  c.bias = coin(random);
  c.accumulate = random.integer(0, 2) == 0;
  c.out_type = !c.accumulate && coin(random) ? DType::bf16 : DType::f32;
  c.activation = static_cast<Activation>(random.integer(0, 4));
  c.scale = coin(random) ? 1.0f : 0.37f;
  return c;
}

inline std::vector<double> matmul_reference(const Matrix& x, const Matrix& w, const float* bias, const MatmulCase& c,
                                            const std::vector<float>& before) {
  const int64_t n = w.rows, k = w.cols, columns = c.gated ? n / 2 : n;
  std::vector<double> out;
  std::vector<double> y(static_cast<size_t>(n));
  for (int64_t r = 0; r < x.rows; ++r) {
    for (int64_t i = 0; i < n; ++i) {
      double sum = bias != nullptr ? bias[i] : 0;
      for (int64_t j = 0; j < k; ++j) sum += double(x.exact[size_t(r * k + j)]) * double(w.exact[size_t(i * k + j)]);
      y[size_t(i)] = sum;
    }
    for (int64_t i = 0; i < columns; ++i) {
      double z = activated(c.activation, y[size_t(i)]);
      if (c.gated) z *= y[size_t(columns + i)];
      out.push_back(z * double(c.scale) + (before.empty() ? 0 : before[size_t(r * columns + i)]));
    }
  }
  return out;
}

// Sums in f32: of the CPU in eight chains or more, of tensor cores in one whose additions may truncate.
inline double matmul_bound(const Backend& backend, const MatmulCase& c) {
  if (c.out_type == DType::bf16) return 4e-3;
  return on_device(backend) ? 6e-6 + 5e-9 * c.k : 3e-6 + 2e-8 * std::sqrt(double(c.k));
}

inline void check_matmul(Backend& backend, Backend& twin, const MatmulCase& c, Random& random) {
  const Matrix x(random, c.type, c.rows, c.k), w(random, c.type, c.n, c.k, 1.7f / std::sqrt(float(c.k)));
  const std::vector<float> bias = random.reals(size_t(c.n));
  const Packed packed(backend, w, c.gated);
  const int64_t columns = c.gated ? c.n / 2 : c.n;
  const std::vector<float> before = c.accumulate ? random.reals(size_t(c.rows * columns)) : std::vector<float>();
  const auto run = [&](Backend& on, int64_t first, int64_t rows) {
    Output out(c.out_type, rows, columns);
    if (c.accumulate) std::copy_n(before.data() + first * columns, rows * columns, out.tensor().as<float>());
    on.ops().matmul(on.context(), {c.kind, x.view(first, rows), packed.weight, c.bias ? bias.data() : nullptr,
                                   c.activation, c.scale, c.accumulate, out.tensor()});
    CHECK(out.intact());
    return out;
  };
  const Output out = run(backend, 0, c.rows);
  const std::vector<double> want = matmul_reference(x, w, c.bias ? bias.data() : nullptr, c, before);
  const double error = relative_error(out.values().data(), want.data(), want.size());
  if (!CHECK(error < matmul_bound(backend, c)))
    std::fprintf(stderr,
                 "  %s kind %d rows %lld n %d k %d type %d out %d gated %d bias %d accumulate %d activation %d: %g\n",
                 backend.ops().name, int(c.kind), (long long)c.rows, c.n, c.k, int(c.type), int(c.out_type), c.gated,
                 c.bias, c.accumulate, int(c.activation), error);
  CHECK(same_bits(run(twin, 0, c.rows).values(), out.values()));
  if (c.rows < 2) return;
  // A stretch of rows, and one of them alone.
  const int64_t first = random.integer(0, c.rows - 1), count = random.integer(1, c.rows - first);
  const Output stretch = run(backend, first, count), alone = run(backend, first, 1);
  bool same = alone.same_row(0, out, first);
  for (int64_t i = 0; i < count; ++i) same = same && stretch.same_row(i, out, first + i);
  CHECK(same);
}

}  // namespace redllm::test

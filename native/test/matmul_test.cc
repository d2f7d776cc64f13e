// The product against a double-precision loop, and the promise of company: a row's bits do not depend on the rows beside it.
#include "test/matmul_data.h"

using namespace redllm;
using namespace redllm::test;

namespace {

double activated(Activation activation, double x) {
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

std::vector<double> reference(const Matrix& x, const Matrix& w, const float* bias, Activation activation, bool gated,
                              double scale, const std::vector<float>& before) {
  const int64_t n = w.rows, k = w.cols, columns = gated ? n / 2 : n;
  std::vector<double> out;
  std::vector<double> y(static_cast<size_t>(n));
  for (int64_t r = 0; r < x.rows; ++r) {
    for (int64_t c = 0; c < n; ++c) {
      double sum = bias != nullptr ? bias[c] : 0;
      for (int64_t i = 0; i < k; ++i) sum += double(x.exact[size_t(r * k + i)]) * double(w.exact[size_t(c * k + i)]);
      y[size_t(c)] = sum;
    }
    for (int64_t c = 0; c < columns; ++c) {
      double z = activated(activation, y[size_t(c)]);
      if (gated) z *= y[size_t(columns + c)];
      out.push_back(z * scale + (before.empty() ? 0 : before[size_t(r * columns + c)]));
    }
  }
  return out;
}

struct Case {
  DType type, out_type;
  int64_t rows;
  int32_t n, k;
  bool gated, bias, accumulate;
  Activation activation;
  float scale;
};

void product_matches(Backend& backend, Random& random, const Case& c) {
  const Matrix x(random, c.type, c.rows, c.k), w(random, c.type, c.n, c.k, 1.7f / std::sqrt(float(c.k)));
  const std::vector<float> bias = random.reals(size_t(c.n));
  const Packed packed(backend, w, c.gated);
  const int64_t columns = c.gated ? c.n / 2 : c.n;
  Output out(c.out_type, c.rows, columns);
  std::vector<float> before;
  if (c.accumulate) {
    before = random.reals(size_t(c.rows * columns));
    std::memcpy(out.tensor().data, before.data(), before.size() * 4);
  }
  const MatmulArgs args{RowKind::prefill, x.view(0, c.rows), packed.weight, c.bias ? bias.data() : nullptr,
                        c.activation,     c.scale,           c.accumulate,  out.tensor()};
  backend.ops().matmul(backend.context(), args);
  const std::vector<double> expected = reference(x, w, args.bias, c.activation, c.gated, double(c.scale), before);
  const std::vector<float> got = out.values();
  const double bound = c.out_type == DType::bf16 ? 4e-3 : 1e-6 + 2e-8 * std::sqrt(double(c.k));
  const double error = relative_error(got.data(), expected.data(), got.size());
  if (!CHECK(error < bound))
    std::fprintf(stderr, "  %s rows %lld n %d k %d type %d out %d gated %d bias %d accumulate %d activation %d: %g\n",
                 backend.ops().name, (long long)c.rows, c.n, c.k, int(c.type), int(c.out_type), c.gated, c.bias,
                 c.accumulate, int(c.activation), error);
  CHECK(out.guards_hold());
}

Case random_case(Random& random, int64_t rows) {
  constexpr int32_t sizes[] = {1, 2, 3, 31, 32, 33, 63, 64, 100, 172, 384};
  Case c{};
  c.type = random.integer(0, 1) != 0 ? DType::bf16 : DType::f32;
  c.rows = rows;
  c.n = sizes[random.integer(0, 10)];
  c.k = sizes[random.integer(0, 10)];
  c.gated = random.integer(0, 2) == 0;
  if (c.gated) c.n += c.n % 2;
  c.bias = random.integer(0, 1) != 0;
  c.accumulate = random.integer(0, 2) == 0;
  c.out_type = !c.accumulate && random.integer(0, 1) != 0 ? DType::bf16 : DType::f32;
  c.activation = static_cast<Activation>(random.integer(0, 4));
  c.scale = random.integer(0, 1) != 0 ? 1.0f : 0.37f;
  return c;
}

void fuzzed_products(const char* isa) {
  begin("fuzzed products");
  Random random(20250611);
  cpu::Backend one(1, isa), two(2, isa);
  for (int64_t rows = 1; rows <= 40; ++rows)
    for (int i = 0; i < 6; ++i) product_matches(i % 2 == 0 ? one : two, random, random_case(random, rows));
  for (int64_t rows : {97, 200, 333}) product_matches(two, random, random_case(random, rows));
}

// Every combination of epilogue, at one shape with ragged edges.
void every_epilogue(const char* isa) {
  begin("every epilogue");
  Random random(7);
  cpu::Backend backend(2, isa);
  for (DType type : {DType::f32, DType::bf16})
    for (bool gated : {false, true})
      for (bool bias : {false, true})
        for (int out = 0; out < 3; ++out)
          for (int activation = 0; activation <= 4; ++activation)
            product_matches(backend, random,
                            {type, out == 1 ? DType::bf16 : DType::f32, 14, 78, 35, gated, bias, out == 2,
                             static_cast<Activation>(activation), 0.625f});
}

// K beyond a cache block, and rows and K beyond what the scratch holds at once.
void large_products(const char* isa) {
  begin("large products");
  Random random(11);
  cpu::Backend backend(2, isa);
  for (DType type : {DType::f32, DType::bf16}) {
    product_matches(backend, random, {type, DType::f32, 30, 70, 2311, false, true, true, Activation::none, 1});
    product_matches(backend, random, {type, DType::f32, 1700, 34, 40, false, false, false, Activation::none, 1});
    product_matches(backend, random, {type, DType::f32, 41, 33, 40001, false, false, false, Activation::none, 1});
  }
}

void no_rows(const char* isa) {
  begin("no rows");
  Random random(12);
  cpu::Backend backend(2, isa);
  const Matrix w(random, DType::f32, 8, 8);
  const Packed packed(backend, w, false);
  Output out(DType::f32, 0, 8);
  backend.ops().matmul(backend.context(), {RowKind::prefill,
                                           {nullptr, DType::f32, 0, 8},
                                           packed.weight,
                                           nullptr,
                                           Activation::none,
                                           1,
                                           false,
                                           out.tensor()});
  CHECK(out.guards_hold());
}

// Relative accuracy of activations over their range, tails included: a product with the identity.
void activations_are_accurate(const char* isa) {
  begin("activations are accurate");
  cpu::Backend backend(1, isa);
  Random random(13);
  Matrix w(random, DType::f32, 1, 1);
  w.exact[0] = 1;
  const Packed packed(backend, w, false);
  for (int activation = 0; activation <= 4; ++activation) {
    double worst = 0;
    Matrix x(random, DType::f32, 4001, 1);
    for (int64_t i = 0; i < x.rows; ++i) x.exact[size_t(i)] = float(i - 2000) / 200;  // -10 .. 10
    Output out(DType::f32, x.rows, 1);
    backend.ops().matmul(backend.context(), {RowKind::prefill, x.view(0, x.rows), packed.weight, nullptr,
                                             static_cast<Activation>(activation), 1, false, out.tensor()});
    for (int64_t i = 0; i < x.rows; ++i) {
      const double expected = activated(static_cast<Activation>(activation), double(x.exact[size_t(i)]));
      if (std::fabs(expected) < 1e-34) continue;
      const double error = std::fabs(double(out.at(i)) / expected - 1);
      worst = error > worst || std::isnan(error) ? error : worst;
    }
    // The argument of exp in gelu_tanh reaches -90 there, and one unit in its last place is 8e-6: those tails are nothing
    // beside 1.
    if (!CHECK(worst < (activation == int(Activation::gelu_tanh) ? 1e-5 : 2e-6)))
      std::fprintf(stderr, "  %s activation %d: worst relative error %g\n", backend.ops().name, activation, worst);
  }
}

void nan_shows(const char* isa) {
  begin("NaN shows");
  cpu::Backend backend(1, isa);
  Random random(14);
  Matrix w(random, DType::f32, 40, 3), x(random, DType::f32, 2, 3);
  x.exact[4] = NAN;
  const Packed packed(backend, w, false);
  for (DType type : {DType::f32, DType::bf16})
    for (int activation = 0; activation <= 4; ++activation) {
      Output out(type, 2, 40);
      backend.ops().matmul(backend.context(), {RowKind::prefill, x.view(0, 2), packed.weight, nullptr,
                                               static_cast<Activation>(activation), 1, false, out.tensor()});
      bool held = true;
      for (int64_t i = 0; i < 40; ++i) held = held && !std::isnan(out.at(i)) && std::isnan(out.at(40 + i));
      CHECK(held);
    }
}

// Row i of a product of many rows has the bits of the same row alone.
void company(const char* isa) {
  begin("company");
  Random random(15);
  cpu::Backend one(1, isa), two(2, isa);
  constexpr int64_t kRows = 300;
  struct Shape {
    int32_t n, k;
    bool gated;
    Activation activation;
    DType out;
  };
  for (DType type : {DType::f32, DType::bf16})
    for (const Shape& shape :
         {Shape{63, 172, false, Activation::gelu, DType::f32}, Shape{100, 1301, true, Activation::silu, DType::bf16},
          Shape{42, 1100, true, Activation::gelu_tanh, DType::f32}}) {
      const Matrix x(random, type, kRows, shape.k), w(random, type, shape.n, shape.k, 0.1f);
      const std::vector<float> bias = random.reals(size_t(shape.n));
      const Packed packed(one, w, shape.gated);
      const int64_t columns = shape.gated ? shape.n / 2 : shape.n;
      const auto product = [&](Backend& backend, int64_t first, int64_t rows) {
        Output out(shape.out, rows, columns);
        backend.ops().matmul(backend.context(), {RowKind::prefill, x.view(first, rows), packed.weight, bias.data(),
                                                 shape.activation, 0.7f, false, out.tensor()});
        return out;
      };
      std::vector<Output> alone;
      for (int64_t i = 0; i < kRows; ++i) alone.push_back(product(one, i, 1));
      const auto same = [&](Backend& backend, int64_t first, int64_t rows) {
        const Output out = product(backend, first, rows);
        for (int64_t i = 0; i < rows; ++i)
          if (std::memcmp(out.row(i), alone[size_t(first + i)].row(0), out.row_bytes()) != 0) return false;
        return true;
      };
      for (cpu::Backend* backend : {&one, &two}) {
        bool held = true;
        for (int64_t rows = 1; rows <= 40; ++rows) held = held && same(*backend, random.integer(0, kRows - rows), rows);
        CHECK(held);
        CHECK(same(*backend, 0, kRows));
      }
    }
}

}  // namespace

int main() {
  for (const char* isa : isas()) {
    fuzzed_products(isa);
    every_epilogue(isa);
    large_products(isa);
    no_rows(isa);
    activations_are_accurate(isa);
    nan_shows(isa);
    company(isa);
  }
  return report();
}

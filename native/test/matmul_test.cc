// The product against a double-precision loop, and the promise of company: a row's bits do not depend on the rows beside it.
#include "matmul_case.h"

using namespace redllm;
using namespace redllm::test;

namespace {

const char* name_of(RowKind kind) {
  return kind == RowKind::decode ? "decode" : "prefill";
}

void fuzzed_products(Backend& backend, Backend& twin) {
  Random random(20250611);
  for (int i = 0; i < rounds(backend, 260, 60); ++i)
    check_matmul(backend, twin, random_matmul_case(random, 400, emulated(backend) ? 300000 : 4000000), random);
}

// Every combination of epilogue, at one shape with ragged edges.
void every_epilogue(Backend& backend, Backend& twin) {
  Random random(7);
  int turn = 0;
  for (DType type : {DType::f32, DType::bf16})
    for (bool gated : {false, true})
      for (bool bias : {false, true})
        for (int out = 0; out < 3; ++out)
          for (int activation = 0; activation <= 4; ++activation)
            check_matmul(backend, twin,
                         {static_cast<RowKind>(turn++ % 2), type, out == 1 ? DType::bf16 : DType::f32, 14, 78, 35,
                          gated, bias, out == 2, static_cast<Activation>(activation), 0.625f},
                         random);
}

// K beyond a cache block, and rows and K beyond what the scratch holds at once.
void large_products(Backend& backend, Backend& twin) {
  Random random(11);
  const bool usual = !emulated(backend);
  for (RowKind kind : {RowKind::prefill, RowKind::decode})
    for (DType type : {DType::f32, DType::bf16}) {
      const auto plain = [&](int64_t rows, int32_t n, int32_t k) {
        check_matmul(backend, twin, {kind, type, DType::f32, rows, n, k, false, false, false, Activation::none, 1},
                     random);
      };
      check_matmul(backend, twin,
                   {kind, type, DType::f32, usual ? 30 : 3, 70, 2311, false, true, true, Activation::none, 1}, random);
      plain(usual ? 1700 : 530, usual ? 34 : 18, 40);
      plain(usual ? 41 : 2, usual ? 33 : 9, usual ? 40001 : 12289);
    }
}

void no_rows(Backend& backend) {
  Random random(12);
  const Matrix w(random, DType::f32, 8, 8);
  const Packed packed(backend, w, false);
  for (RowKind kind : {RowKind::prefill, RowKind::decode}) {
    Output out(DType::f32, 0, 8);
    backend.ops().matmul(
        backend.context(),
        {kind, {nullptr, DType::f32, 0, 8}, packed.weight, nullptr, Activation::none, 1, false, out.tensor()});
    CHECK(out.intact());
  }
}

// Relative accuracy of activations over their range, tails included: a product with the identity.
void activations_are_accurate(Backend& backend, RowKind kind) {
  Random random(13);
  Matrix w(random, DType::f32, 1, 1);
  w.exact[0] = 1;
  const Packed packed(backend, w, false);
  for (int activation = 0; activation <= 4; ++activation) {
    double worst = 0;
    Matrix x(random, DType::f32, rounds(backend, 4001, 401), 1);
    for (int64_t i = 0; i < x.rows; ++i)
      x.exact[size_t(i)] = float(i - (x.rows - 1) / 2) * 20 / float(x.rows - 1);  // -10 .. 10
    Output out(DType::f32, x.rows, 1);
    backend.ops().matmul(backend.context(), {kind, x.view(0, x.rows), packed.weight, nullptr,
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
      std::fprintf(stderr, "  %s %s activation %d: worst relative error %g\n", backend.ops().name, name_of(kind),
                   activation, worst);
  }
}

void nan_shows(Backend& backend, RowKind kind) {
  Random random(14);
  Matrix w(random, DType::f32, 40, 3), x(random, DType::f32, 2, 3);
  x.exact[4] = NAN;
  const Packed packed(backend, w, false);
  for (DType type : {DType::f32, DType::bf16})
    for (int activation = 0; activation <= 4; ++activation) {
      Output out(type, 2, 40);
      backend.ops().matmul(backend.context(), {kind, x.view(0, 2), packed.weight, nullptr,
                                               static_cast<Activation>(activation), 1, false, out.tensor()});
      bool held = true;
      for (int64_t i = 0; i < 40; ++i) held = held && !std::isnan(out.at(i)) && std::isnan(out.at(40 + i));
      CHECK(held);
    }
}

// Row i of a product of many rows has the bits of the same row alone.
void company(Backend& one, Backend& two, RowKind kind) {
  Random random(15);
  const bool usual = !emulated(one);
  const int64_t rows_of_all = usual ? 300 : 70, most = usual ? 40 : 70;
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
      if (!usual && shape.k == 1301) continue;
      const Matrix x(random, type, rows_of_all, shape.k), w(random, type, shape.n, shape.k, 0.1f);
      const std::vector<float> bias = random.reals(size_t(shape.n));
      const Packed packed(one, w, shape.gated);
      const int64_t columns = shape.gated ? shape.n / 2 : shape.n;
      const auto product = [&](Backend& backend, int64_t first, int64_t rows) {
        Output out(shape.out, rows, columns);
        backend.ops().matmul(backend.context(), {kind, x.view(first, rows), packed.weight, bias.data(),
                                                 shape.activation, 0.7f, false, out.tensor()});
        return out;
      };
      const Output all = product(one, 0, rows_of_all);
      for (int64_t i = 0; i < rows_of_all; i += usual ? 1 : random.integer(1, 20))
        CHECK(product(one, i, 1).same_row(0, all, i));
      const auto same = [&](Backend& backend, int64_t first, int64_t rows) {
        const Output out = product(backend, first, rows);
        for (int64_t i = 0; i < rows; ++i)
          if (!out.same_row(i, all, first + i)) return false;
        return true;
      };
      for (Backend* backend : {&one, &two}) {
        bool held = true;
        for (int64_t rows = 1; rows <= most; rows += usual ? 1 : random.integer(1, 15))
          held = held && same(*backend, random.integer(0, rows_of_all - rows), rows);
        CHECK(held);
        CHECK(same(*backend, 0, rows_of_all));
      }
    }
}

}  // namespace

int main() {
  const auto backends = every_backend();
  for (size_t i = 0; i < backends.size(); i += 2) {
    Backend &one = *backends[i], &two = *backends[i + 1];
    begin(one.ops().name);
    fuzzed_products(one, two);
    every_epilogue(two, one);
    large_products(two, one);
    no_rows(two);
    for (RowKind kind : {RowKind::prefill, RowKind::decode}) {
      if (kind == RowKind::decode && !on_device(one)) continue;
      begin(name_of(kind));
      activations_are_accurate(one, kind);
      nan_shows(one, kind);
      company(one, two, kind);
    }
  }
  return report();
}

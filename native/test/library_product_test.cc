// Products of prompts by a library with cuBLASLt's interface (fake_cublaslt.cc): which of its algorithms are taken, and that they are used
// as ops.h wants. Runs where the emulated CUDA library was built.
#include <dlfcn.h>

#include "test/matmul_case.h"

using namespace redllm;
using namespace redllm::test;

namespace {

int64_t launched(char algorithm) {
  const char* path = std::getenv("REDLLM_CUBLASLT");
  void* library = path == nullptr ? nullptr : dlopen(path, RTLD_NOW);
  const auto count =
      library == nullptr ? nullptr : reinterpret_cast<int64_t (*)(char)>(dlsym(library, "fake_cublaslt_launched"));
  return count == nullptr ? -1 : count(algorithm);
}

// Which of the algorithms that `offered` names, for a device that is opened afterwards, multiplies so many rows: '-' for none.
void choice(const char* offered, int64_t rows, char taken) {
  begin(offered);
  setenv("FAKE_CUBLASLT", offered, 1);
  for (const std::unique_ptr<Backend>& backend : every_backend()) {
    if (!on_device(*backend)) continue;
    Random random(5);
    const Matrix x(random, DType::bf16, rows, 16), w(random, DType::bf16, 16, 16);
    const Packed packed(*backend, w, false);
    int64_t before[256];
    for (const char* name = "srcpwfdgh"; *name != '\0'; ++name)
      before[static_cast<unsigned char>(*name)] = launched(*name);
    Output out(DType::f32, rows, 16);
    const MatmulCase c{
        RowKind::prefill, DType::bf16, DType::f32, rows, 16, 16, false, false, false, Activation::none, 1};
    backend->ops().matmul(backend->context(), {c.kind, x.view(0, rows), packed.weight, nullptr, c.activation, c.scale,
                                               c.accumulate, out.tensor()});
    for (const char* name = "srcpwfdgh"; *name != '\0'; ++name)
      CHECK(launched(*name) - before[static_cast<unsigned char>(*name)] == (*name == taken));
    const std::vector<double> want = matmul_reference(x, w, nullptr, c, {});
    CHECK(relative_error(out.values().data(), want.data(), want.size()) < matmul_bound(*backend, c));
  }
}

void products() {
  begin("products");
  setenv("FAKE_CUBLASLT", "g", 1);
  for (const std::unique_ptr<Backend>& backend : every_backend()) {
    if (!on_device(*backend)) continue;
    Random random(7);
    for (const bool gated : {false, true})
      for (const bool bias : {false, true})
        for (const int out : {0, 1, 2})
          for (const Activation activation : {Activation::none, Activation::gelu})
            for (const auto& [n, k] : {std::pair{64, 64}, {62, 40}, {32, 35}, {66, 33}})
              check_matmul(*backend, *backend,
                           {RowKind::prefill, DType::bf16, out == 1 ? DType::bf16 : DType::f32, random.integer(1, 40),
                            n, k, gated, bias, out == 2, activation, 0.625f},
                           random);
  }
  CHECK(launched('g') > 0);
}

}  // namespace

int main() {
  if (launched('g') < 0) {
    std::printf("skipped: REDLLM_CUBLASLT names no library made for this test\n");
    return 0;
  }
  const auto backends = every_backend();
  if (std::none_of(backends.begin(), backends.end(), [](const auto& backend) { return on_device(*backend); })) {
    std::printf("skipped: there is no device\n");
    return 0;
  }
  choice("g", 9, 'g');
  choice("srcpwfg", 9, 'g');
  choice("srcpwf", 9, '-');
  choice("", 9, '-');
  // What suits few rows or many is taken where its bits are those of what serves.
  choice("h,g", 9, 'h');
  choice("h,g", 300, 'g');
  choice("d,g", 9, 'g');
  choice("dh,g", 9, 'h');
  choice("d,d,g,h", 9, 'd');
  choice("g,g,dh,d", 1100, 'h');
  choice("h,cp,g", 9, '-');
  products();
  return report();
}

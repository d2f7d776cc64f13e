// Rates of a backend: small enough that they say nothing, but they are rates.
#include "measure.h"

#include <cmath>

#include "backends.h"
#include "check.h"

using namespace redllm;
using namespace redllm::test;

int main() {
  for (const std::unique_ptr<Backend>& backend : every_backend()) {
    begin(backend->ops().name);
    for (DType type : {DType::f32, DType::bf16}) {
      const Rates rates = measure(*backend, type, {1 << 20, 20, 96, 2});
      CHECK(std::isfinite(rates.bytes_per_second) && rates.bytes_per_second > 0);
      CHECK(std::isfinite(rates.flop_per_second) && rates.flop_per_second > 0);
      CHECK(backend->ops().error(backend->context()) == nullptr);
    }
  }
  return report();
}

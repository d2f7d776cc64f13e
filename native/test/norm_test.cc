// Norms against a double-precision loop, and rows against themselves alone.
#include "norm_case.h"

using namespace redllm;
using namespace redllm::test;

int main() {
  const auto backends = every_backend();
  for (size_t i = 0; i < backends.size(); ++i) {
    begin(backends[i]->ops().name);
    Random random(1);
    for (int round = 0; round < rounds(*backends[i], 120, 40); ++round)
      check_norm(*backends[i], *backends[i ^ 1], random_norm_case(random, 70, 1100), random);
    check_norm(*backends[i], *backends[i ^ 1],
               {3, 5003, NormKind::layer, true, true, false, false, DType::bf16, DType::f32, true}, random);
  }
  return report();
}

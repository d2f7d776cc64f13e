// Where attention looks, on every backend (attention_mass_case.h).
#include "attention_mass_case.h"

using namespace redllm;
using namespace redllm::test;

int main() {
  const auto backends = every_backend();
  for (size_t i = 0; i < backends.size(); ++i) {
    Backend &backend = *backends[i], &twin = *backends[i ^ 1];
    begin(backend.ops().name);
    Random random(9);
    const AttentionSizes sizes = emulated(backend) ? AttentionSizes{3, 20, 50, 150} : AttentionSizes{};
    for (int round = 0; round < rounds(backend, 60, 20); ++round) check_random_masses(backend, twin, random, sizes);
  }
  return report();
}

// Pages copied whole, the others left alone.
#include "page_copy_case.h"

using namespace redllm;
using namespace redllm::test;

int main() {
  for (const auto& backend : every_backend()) {
    begin(backend->ops().name);
    Random random(2);
    for (int round = 0; round < 20; ++round) check_copy_pages(*backend, random);
  }
  return report();
}

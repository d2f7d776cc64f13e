// The CUDA backend under the clock, through its library's table alone. Attention and products are checked against sums in double
// before they are timed; the small ops and whole models by the test programs that gpu.sh runs before this one.
//
//   cuda_bench LIBRARY GROUP OUT.json [--tiny]      GROUP: forward, decode, products, small or models
#include <cstring>
#include <fstream>

#include "bench/device_attention.h"
#include "bench/device_models.h"
#include "bench/device_products.h"

using namespace redllm;

namespace {

struct Group {
  const char* name;
  void (*run)(const bench::Device&, bench::Figures&);
};

constexpr Group kGroups[] = {{"forward", bench::bench_forward},
                             {"decode", bench::bench_decode},
                             {"products", bench::bench_products},
                             {"small", bench::bench_small},
                             {"models", bench::bench_models}};

}  // namespace

int main(int argc, char** argv) {
  const Group* group = nullptr;
  for (const Group& each : kGroups)
    if (argc >= 4 && std::strcmp(argv[2], each.name) == 0) group = &each;
  const bool tiny = argc == 5 && std::strcmp(argv[4], "--tiny") == 0;
  if (group == nullptr || argc > 5 || (argc == 5 && !tiny)) {
    std::fprintf(stderr, "usage: cuda_bench LIBRARY forward|decode|products|small|models OUT.json [--tiny]\n");
    return 2;
  }
  bench::Figures figures;
  int failed = 0;
  test::begin(group->name);
  try {
    const bench::Device device(argv[1], tiny);
    std::printf("%s\n", device.description.c_str());
    group->run(device, figures);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", group->name, error.what());
    failed = 1;
  }
  std::ofstream(argv[3]) << figures.json();  // what was measured before a failure is kept
  return test::report() != 0 || failed;
}

// What the emulated library exports beside its one entry: the order of threads, for tests that compare the bits of several.
#include <cstdint>

#include "cuda/emu/block.h"

extern "C" __attribute__((visibility("default"))) void redllm_emu_order(uint64_t seed) {
  redllm::cuda::emu::set_order(seed);
}

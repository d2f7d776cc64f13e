// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3; SC 2011): a keyed permutation of a counter.
// The draw of a row is a function of its seed and step alone.
#pragma once

#include "cuda/ptx.cuh"

namespace redllm::cuda {

// The first word of the permuted counter (step, 0, 0, 0).
__device__ inline uint32_t philox_word(uint32_t key0, uint32_t key1, uint32_t step) {
  uint32_t c0 = step, c1 = 0, c2 = 0, c3 = 0;
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * c0, b = uint64_t{0xCD9E8D57} * c2;
    c0 = static_cast<uint32_t>(b >> 32) ^ c1 ^ key0;
    c2 = static_cast<uint32_t>(a >> 32) ^ c3 ^ key1;
    c1 = static_cast<uint32_t>(b);
    c3 = static_cast<uint32_t>(a);
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return c0;
}

}  // namespace redllm::cuda

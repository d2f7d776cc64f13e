// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3; SC 2011): a keyed permutation of a counter.
// The draw of a row is a function of its seed and step alone.
#pragma once

#include <cstdint>

namespace redllm::cpu {

struct Philox {
  uint32_t word[4];
};

static inline Philox philox(uint32_t key0, uint32_t key1, Philox counter) {
  uint32_t* c = counter.word;
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * c[0], b = uint64_t{0xCD9E8D57} * c[2];
    const uint32_t next0 = static_cast<uint32_t>(b >> 32) ^ c[1] ^ key0;
    const uint32_t next2 = static_cast<uint32_t>(a >> 32) ^ c[3] ^ key1;
    c[1] = static_cast<uint32_t>(b);
    c[3] = static_cast<uint32_t>(a);
    c[0] = next0;
    c[2] = next2;
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return counter;
}

}  // namespace redllm::cpu

// Weights that are fetched into the cache while others are multiplied.
#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace REDLLM_ISA_NAMESPACE {
namespace {

// Every step of a tile kernel fetches the 128 bytes at `at`, which moves on by `stride`. Where several tiles share the
// work, strides are shorter. Addresses beyond the weights do no harm.
struct Ahead {
  const char* at;
  int64_t stride;

  void fetch() {
    __builtin_prefetch(at);
    __builtin_prefetch(at + 64);
    at += stride;
  }
};

}  // namespace
}  // namespace REDLLM_ISA_NAMESPACE

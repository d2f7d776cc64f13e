// What a backend can do at most, measured through its ops: what a benchmark holds its own figures against.
#pragma once

#include <cstdint>

#include "backend_interface.h"

namespace redllm {

struct MeasureSizes {
  uint64_t bytes;  // of memory; more than any cache holds
  int64_t rows;    // of the left side of a product whose weight is [width, width]
  int64_t width;   // a multiple of 32
  int64_t times;   // one after the other, timed together
};

struct Rates {
  double bytes_per_second;  // the host's: read by all threads; a device's: read and written by a copy
  double flop_per_second;
};

// Takes memory for it, and gives it back. Throws std::bad_alloc.
Rates measure(Backend& backend, DType type, const MeasureSizes& sizes);

}  // namespace redllm

// Time on the host, and memory read by several threads at once.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace redllm {

// Seconds.
inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Seconds from when all threads have started body(thread) to when the last has ended.
inline double time_threads(int32_t threads, const std::function<void(int32_t)>& body) {
  std::atomic<int32_t> ready{0};
  std::atomic<bool> go{false};
  std::vector<std::thread> others;
  for (int32_t t = 1; t < threads; ++t)
    others.emplace_back([&, t] {
      ++ready;
      while (!go) {
      }
      body(t);
    });
  while (ready < threads - 1) {
  }
  const double start = now();
  go = true;
  body(0);
  for (std::thread& other : others) other.join();
  return now() - start;
}

// Reads `bytes` from `data`, a multiple of 256, and returns something that depends on all of it.
inline uint64_t read_all(const char* data, int64_t bytes) {
  typedef uint64_t Words __attribute__((vector_size(16)));
  Words sum[16] = {};
  for (int64_t i = 0; i < bytes; i += 256)
    for (int j = 0; j < 16; ++j) sum[j] ^= *reinterpret_cast<const Words*>(data + i + j * 16);
  for (int j = 1; j < 16; ++j) sum[0] ^= sum[j];
  return sum[0][0] ^ sum[0][1];
}

}  // namespace redllm

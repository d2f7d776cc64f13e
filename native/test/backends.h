// The backends that the tests of ops hold to ops.h, and in what these differ.
#pragma once

#include <memory>
#include <vector>

#include "backend_interface.h"

namespace redllm::test {

// In pairs: [2 i] and [2 i + 1] give the same bits. Every instruction set of this machine, with one thread and with two; then the
// emulated CUDA library where it was built, with its threads in order and in shuffled order. With REDLLM_TEST_DEVICE=cuda in the
// environment nothing but the library that REDLLM_TEST_LIBRARY names, twice on its first device; then every `new` of the program
// gives memory that the device reads as well (shared_memory.cc), and every op is waited for.
std::vector<std::unique_ptr<Backend>> every_backend();

// The library's kernels, emulated or not; the CPU otherwise.
inline bool on_device(const Backend& backend) {
  return backend.threads() == 0;
}
// By the emulator: hundreds of times slower, so tests take fewer rounds and smaller shapes.
bool emulated(const Backend& backend);

inline int rounds(const Backend& backend, int usual, int few) {
  return emulated(backend) ? few : usual;
}

// Elements of the backend's memory, as the host sees them once all is done that was launched before.
template <typename T>
std::vector<T> fetched(Backend& backend, const void* from, size_t count) {
  std::vector<T> values(count);
  const Piece piece = {values.data(), from, count * sizeof(T)};
  backend.ops().wait(backend.context(), backend.ops().download(backend.context(), &piece, 1));
  return values;
}

// Element offsets of one key or value inside the memory of a pool: the layouts are the backends' own.
class PageElements {
 public:
  PageElements(const Backend& backend, const PagePool& pool, int32_t layer);
  int64_t key(int32_t page, int32_t head, int32_t token, int32_t d) const;
  int64_t value(int32_t page, int32_t head, int32_t token, int32_t d) const;
  int32_t value_width() const { return value_width_; }  // head_dim, and what may be written behind it

 private:
  int64_t page_, layer_, head_, value_, key_token_, key_d_;
  int32_t value_width_;
};

}  // namespace redllm::test

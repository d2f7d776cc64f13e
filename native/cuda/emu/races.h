// Which thread's writes another may rely on, told to the thread sanitizer, so that it finds the races of kernels: every thread is a fibre of
// the sanitizer's, ordered after another only by barriers, by atomics, and by the launch's start and end. Kernels are compiled with
// -fsanitize=thread and REDLLM_EMU_RACES; the emulator with REDLLM_EMU_RACES alone, for its own doings are nobody's business.
#pragma once

#include <cstddef>

#if defined(REDLLM_EMU_RACES)

#include <sanitizer/tsan_interface.h>

extern "C" {
void __tsan_read_range(void* address, size_t bytes);
void __tsan_write_range(void* address, size_t bytes);
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}

// Of functions that are compiled with the kernels and touch what is the emulator's.
#define REDLLM_EMU_UNSEEN __attribute__((no_sanitize("thread")))

namespace redllm::cuda::emu::races {

constexpr bool kOn = true;

inline void read(const void* address, size_t bytes) {
  __tsan_read_range(const_cast<void*>(address), bytes);
}
inline void write(void* address, size_t bytes) {
  __tsan_write_range(address, bytes);
}
// What this thread did before release(token) comes before what another does after its acquire(token).
inline void release(void* token) {
  __tsan_release(token);
}
inline void acquire(void* token) {
  __tsan_acquire(token);
}
inline void* current() {
  return __tsan_get_current_fiber();
}
// Ordered after the caller.
inline void* create() {
  return __tsan_create_fiber(0);
}
inline void destroy(void* fiber) {
  __tsan_destroy_fiber(fiber);
}
inline void go_on_as(void* fiber) {
  __tsan_switch_to_fiber(fiber, __tsan_switch_to_fiber_no_sync);
}

// The host's own reads and writes, while it lives, are not looked at.
class Unwatched {
 public:
  Unwatched() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  ~Unwatched() {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
};

}  // namespace redllm::cuda::emu::races

#else

#define REDLLM_EMU_UNSEEN

namespace redllm::cuda::emu::races {

constexpr bool kOn = false;

inline void read(const void*, size_t) {}
inline void write(void*, size_t) {}
inline void release(void*) {}
inline void acquire(void*) {}
inline void* current() {
  return nullptr;
}
inline void* create() {
  return nullptr;
}
inline void destroy(void*) {}
inline void go_on_as(void*) {}
class [[maybe_unused]] Unwatched {};

}  // namespace redllm::cuda::emu::races

#endif

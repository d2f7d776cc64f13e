// Threads of a block as fibres: who runs next, barriers, and what the 32 lanes of a warp do together. One block at a time, one launch at
// a time in the process.
//
// A lane runs until it calls something that its warp does together; then the next lane of the warp's order runs, and once all have
// come, the deed is done and the first goes on. A warp runs until its lanes stand at a barrier of the block; then the next warp runs.
// What CUDA leaves undefined is an error here: lanes at different calls or on different lines, threads that leave while others wait,
// addresses off their alignment or outside of the block's shared memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <source_location>

#include "cuda/emu/builtin.h"
#include "cuda/emu/races.h"

#pragma GCC visibility push(hidden)

namespace redllm::cuda::emu {

constexpr int kLanes = 32;
constexpr int kMaxThreads = 1024;
constexpr size_t kMaxShared = 227 << 10;

using Site = std::source_location;

// What all lanes of a warp, or all threads of a block, do together.
enum class Together : int {
  leave,
  sync_block,
  sync_warp,
  shuffle,
  shuffle_xor,
  shuffle_down,
  shuffle_up,
  ballot,
  load_matrices,
  load_matrices_transposed,
  multiply_add
};

// What a lane brings, and takes away.
struct alignas(64) Slot {
  uint32_t words[8];  // a shuffled value; addresses; a[4], b0, b1
  float d[4];
};

struct Warp {
  // A lane that goes on may reach the next call before others have read this one's slots: they alternate.
  Slot slots[2][kLanes];
  int parity;
  int arrived;
  int first;  // its first thread
  Together what;
  Site at;
  uint8_t order[kLanes];
};

// The warp whose lane runs.
extern Warp* warp;

REDLLM_EMU_UNSEEN inline int lane() {
  return static_cast<int>(threadIdx.x % kLanes);
}
// Returns once all 32 lanes (all threads for `leave` and `sync_block`) have come and the deed is done.
void arrive(Together what, const Site& at);

template <typename T>
REDLLM_EMU_UNSEEN T exchange(T value, int from, Together what, const Site& at) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 4 or 8 bytes");
  Slot* slots = warp->slots[warp->parity];
  std::memcpy(slots[lane()].words, &value, sizeof(T));
  arrive(what, at);
  std::memcpy(&value, slots[from].words, sizeof(T));
  return value;
}
uint32_t vote(bool held, const Site& at);
void load_fragments(uint32_t (&r)[4], const void* row, Together what, const Site& at);

char* shared_memory();
void check_aligned(const void* address, size_t bytes, const Site& at);

void copy_async(void* to, const void* from, bool valid, const Site& at);
void copy_async_commit();
void copy_async_wait(int pending);

// To the thread sanitizer: an atomic operation passes on what fences of the block have published before, and no more.
void fence_device();
void pass_on(void* atomic);

// Notes that this thread has called it; one that leaves without having done so is an error.
void await_earlier_launches();

// One launch, to its end. `call` calls `kernel` with `params`.
struct Launch {
  const char* name;
  void (*call)(void* kernel, const void* params);
  void* kernel;
  const void* params;
  dim3 grid;
  int threads;
  size_t shared;
};
// Null, or what went wrong: a sentence that stays until the next launch.
const char* run(const Launch&);

// What launches did comes before what the host does now; so it is not by itself, for the thread sanitizer, as the next kernel may start
// before they have ended.
void see_launches();

// In which order threads, warps and blocks run: 0 ascending, 1 descending, else shuffled anew at every turn, from this seed. The
// environment variable REDLLM_EMU_ORDER is the default.
void set_order(uint64_t seed);

// [rows of 8 16-bit elements] of four matrices to fragments, and products of fragments: see ptx.cuh.
void load_matrices(Slot (&slots)[kLanes], bool transposed);
void multiply_add(Slot (&slots)[kLanes]);

}  // namespace redllm::cuda::emu

#pragma GCC visibility pop

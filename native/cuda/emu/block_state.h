// What the files of the block scheduler share.
#pragma once

#include <cstdlib>
#include <vector>

#include "cuda/emu/block.h"
#include "cuda/emu/fiber.h"
#include "cuda/emu/turn_order.h"

#pragma GCC visibility push(hidden)

namespace redllm::cuda::emu {

struct Copy {
  void* to;
  const void* from;
  bool valid;
};

struct Thread {
  Fiber fiber;
  bool awaited;  // earlier launches
  // Copies under way in the order of their issue; ends[i] is where group i ends, of those that are not yet copied.
  std::vector<Copy> copies;
  std::vector<size_t> ends;
};

constexpr size_t kBand = 1024;  // on either side of shared memory
constexpr size_t kSharedRoom = kBand + kMaxShared + kBand;
constexpr unsigned char kPoison = 0xff;

// Addresses that stand for what orders threads, to the thread sanitizer; two for each barrier, for a thread may reach the next before
// another has left this one.
struct Tokens {
  char block[2];
  char warps[kMaxThreads / kLanes][2];
  char fence;
};

// Everything that the block that runs has. Kept between launches: stacks are made once.
struct Block {
  Fiber host;
  Thread threads[kMaxThreads];
  Warp warps[kMaxThreads / kLanes];
  int made = 0;  // threads that have stacks
  // Warps that are not at the barrier; the one that runs is ready[current].
  int ready[kMaxThreads / kLanes];
  int ready_count;
  int current;
  Together what;  // where those stand that are not ready
  Site at;
  const Launch* launch;
  bool runs = false;       // one of its threads, not the host
  char* shared = nullptr;  // kSharedRoom bytes: a band, shared memory, a band
  Tokens* tokens = nullptr;
  void* courier = nullptr;      // a thread of the sanitizer's that takes what fences published to atomics
  int round = 0;                // of barriers, modulo 2
  char start, leaves, earlier;  // tokens: of the launch's start, of its threads' ends, of all launches before
  char failure[1024];
};

extern Block* block;
extern TurnOrder order;

// Notes what the running thread did wrong and leaves the block, whose fibres are abandoned where they stand.
[[noreturn]] __attribute__((format(printf, 1, 2))) void fail(const char* format, ...);
// Without its folders.
const char* file_of(const Site&);
// To the thread sanitizer: what came before release(from) comes before acquire(to).
void carry(void* from, void* to);
// The first turns of a block: makes its warps ready, and says which thread starts.
uint32_t start_turns();

}  // namespace redllm::cuda::emu

#pragma GCC visibility pop

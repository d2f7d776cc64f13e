#include "cuda/emu/block.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "cuda/emu/fault.h"
#include "cuda/emu/fiber.h"

#if defined(REDLLM_EMU_ASAN)
#include <sanitizer/asan_interface.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace redllm::cuda::emu {

Warp* warp = nullptr;

namespace {

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

// Addresses that stand for barriers, to the thread sanitizer; two of each, for a thread may reach the next before another has left this one.
struct Tokens {
  char block[2];
  char warps[kMaxThreads / kLanes][2];
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
  int round = 0;    // of barriers, modulo 2
  char start, end;  // tokens of launches'
  char failure[1024];
};

// ---- order --------------------------------------------------------------------------------------------------------------

struct Order {
  uint64_t seed;
  uint64_t state;
  bool shuffles() const { return seed > 1; }
  uint32_t below(uint32_t count) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<uint32_t>((state >> 32) * count >> 32);
  }
  template <typename T>
  void fill(T* order, int count) {
    for (int i = 0; i < count; ++i) order[i] = static_cast<T>(seed == 1 ? count - 1 - i : i);
    if (shuffles())
      for (int i = count - 1; i > 0; --i) std::swap(order[i], order[below(static_cast<uint32_t>(i) + 1)]);
  }
};

Order order_of(uint64_t seed) {
  return {seed, seed * 0x9e3779b97f4a7c15ull | 1};
}

uint64_t default_seed() {
  const char* text = std::getenv("REDLLM_EMU_ORDER");
  return text == nullptr ? 0 : std::strtoull(text, nullptr, 10);
}

std::mutex one_launch;
Order order = order_of(default_seed());
Block* block = nullptr;

// ---- failure ------------------------------------------------------------------------------------------------------------

const char* name_of(Together what) {
  static const char* const names[] = {
      "the kernel's end", "sync_block", "sync_warp", "shuffle",       "shuffle_xor",
      "shuffle_down",     "shuffle_up", "ballot",    "load_matrices", "load_matrices_transposed",
      "multiply_add"};
  return names[static_cast<int>(what)];
}

const char* file_of(const Site& at) {
  const char* slash = std::strrchr(at.file_name(), '/');
  return slash == nullptr ? at.file_name() : slash + 1;
}

// Notes what the running thread did wrong and leaves the block, whose fibres are abandoned where they stand.
[[noreturn]] __attribute__((format(printf, 1, 2))) void fail(const char* format, ...) {
  {
    const races::Unwatched unwatched;
    char* out = block->failure;
    int length =
        std::snprintf(out, sizeof block->failure, "kernel %s, block (%u, %u, %u), thread %u: ", block->launch->name,
                      blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x);
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(out + length, sizeof block->failure - static_cast<size_t>(length), format, arguments);
    va_end(arguments);
  }
  switch_fiber(block->threads[threadIdx.x].fiber, block->host);
  std::abort();
}

void on_fault(const void* address) {
  if (block->runs) fail("illegal address %p, or no stack left", address);
}

// ---- turns --------------------------------------------------------------------------------------------------------------

bool same(const Site& a, const Site& b) {
  return std::memcmp(&a, &b, sizeof a) == 0 || (a.line() == b.line() && a.column() == b.column());
}

[[noreturn]] void fail_apart(Together what, const Site& at, const char* whose, Together other, const Site& there) {
  if (what == Together::leave)
    fail("it left the kernel while %s wait at %s (%s:%u)", whose, name_of(other), file_of(there), there.line());
  if (other == Together::leave)
    fail("it waits at %s (%s:%u) while %s have left the kernel", name_of(what), file_of(at), at.line(), whose);
  fail("it is at %s (%s:%u) while %s are at %s (%s:%u)", name_of(what), file_of(at), at.line(), whose, name_of(other),
       file_of(there), there.line());
}

void start_turn(Warp& w) {
  w.arrived = 0;
  w.parity ^= 1;
  if (order.shuffles()) order.fill(w.order, kLanes);
}

// All warps are ready: in ascending order of turns from the end of `ready`.
void start_round(int warps) {
  block->round ^= 1;
  int turns[kMaxThreads / kLanes];
  order.fill(turns, warps);
  for (int i = 0; i < warps; ++i) block->ready[i] = turns[warps - 1 - i];
  block->ready_count = warps;
  block->current = warps - 1;
}

void choose_warp() {
  block->current = order.shuffles() ? static_cast<int>(order.below(static_cast<uint32_t>(block->ready_count)))
                                    : block->ready_count - 1;
  warp = &block->warps[block->ready[block->current]];
}

// The last lane of the warp has come: does what they came for and says which warp runs next.
void finish_turn(Warp& w) {
  switch (w.what) {
    case Together::load_matrices:
      load_matrices(w.slots[w.parity], false);
      break;
    case Together::load_matrices_transposed:
      load_matrices(w.slots[w.parity], true);
      break;
    case Together::multiply_add:
      multiply_add(w.slots[w.parity]);
      break;
    case Together::sync_block:
    case Together::leave: {
      const int warps = static_cast<int>(blockDim.x) / kLanes;
      if (block->ready_count == warps) {
        block->what = w.what;
        block->at = w.at;
      } else if (block->what != w.what || (w.what != Together::leave && !same(block->at, w.at))) {
        fail_apart(w.what, w.at, "other warps", block->what, block->at);
      }
      block->ready[block->current] = block->ready[--block->ready_count];
      if (block->ready_count == 0) {
        if (w.what == Together::leave) {
          switch_fiber(block->threads[threadIdx.x].fiber, block->host);
          std::abort();
        }
        start_round(warps);
      }
      break;
    }
    default:
      break;
  }
  start_turn(w);
  choose_warp();
}

}  // namespace

void arrive(Together what, const Site& at) {
  Warp& w = *warp;
  const uint32_t thread = threadIdx.x;
  if (w.arrived == 0) {
    w.what = what;
    w.at = at;
  } else if (w.what != what || (what != Together::leave && !same(w.at, at))) {
    fail_apart(what, at, "other lanes of its warp", w.what, w.at);
  }
  char* token = nullptr;
  if (races::kOn) {
    if (what == Together::sync_block) token = &block->tokens->block[block->round];
    if (what == Together::sync_warp) token = &block->tokens->warps[thread / kLanes][w.parity];
    if (what == Together::leave) token = &block->end;
    if (token != nullptr) races::release(token);
  }
  if (++w.arrived == kLanes) finish_turn(w);
  const uint32_t next = static_cast<uint32_t>(warp->first) + warp->order[warp->arrived];
  if (next != thread) {
    threadIdx.x = next;
    switch_fiber(block->threads[thread].fiber, block->threads[next].fiber);
  }
  if (token != nullptr) races::acquire(token);
}

uint32_t vote(bool held, const Site& at) {
  Slot* slots = warp->slots[warp->parity];
  slots[lane()].words[0] = held;
  arrive(Together::ballot, at);
  uint32_t bits = 0;
  for (int i = 0; i < kLanes; ++i) bits |= slots[i].words[0] << i;
  return bits;
}

// ---- memory -------------------------------------------------------------------------------------------------------------

char* shared_memory() {
  return block->shared + kBand;
}

void check_aligned(const void* address, size_t bytes, const Site& at) {
  if (reinterpret_cast<uintptr_t>(address) % bytes != 0 || address == nullptr)
    fail("address %p is not aligned to %zu bytes (%s:%u)", address, bytes, file_of(at), at.line());
}

void check_shared(const void* address, size_t bytes, const Site& at) {
  check_aligned(address, bytes, at);
  const char* start = shared_memory();
  const char* byte = static_cast<const char*>(address);
  if (byte < start || byte + bytes > start + block->launch->shared)
    fail("address %p is not in the block's %zu bytes of shared memory (%s:%u)", address, block->launch->shared,
         file_of(at), at.line());
}

// The bytes may come at any time from now on, so that nobody may read what was there, and are taken as late as can be.
void copy_async(void* to, const void* from, bool valid, const Site& at) {
  check_shared(to, 16, at);
  check_aligned(from, 16, at);
  races::write(to, 16);
  std::memset(to, kPoison, 16);
  const races::Unwatched unwatched;
  block->threads[threadIdx.x].copies.push_back({to, from, valid});
}

void copy_async_commit() {
  Thread& thread = block->threads[threadIdx.x];
  const races::Unwatched unwatched;
  thread.ends.push_back(thread.copies.size());
}

void copy_async_wait(int pending) {
  Thread& thread = block->threads[threadIdx.x];
  const size_t groups = thread.ends.size();
  if (groups <= static_cast<size_t>(pending)) return;
  const size_t done = groups - static_cast<size_t>(pending);
  const size_t copied = thread.ends[done - 1];
  for (size_t i = 0; i < copied; ++i) {
    const Copy& copy = thread.copies[i];
    races::write(copy.to, 16);
    if (copy.valid) races::read(copy.from, 16);
    if (copy.valid)
      std::memcpy(copy.to, copy.from, 16);
    else
      std::memset(copy.to, 0, 16);
  }
  thread.copies.erase(thread.copies.begin(), thread.copies.begin() + static_cast<ptrdiff_t>(copied));
  thread.ends.erase(thread.ends.begin(), thread.ends.begin() + static_cast<ptrdiff_t>(done));
  for (size_t& end : thread.ends) end -= copied;
}

void load_fragments(uint32_t (&r)[4], const void* row, Together what, const Site& at) {
  check_shared(row, 16, at);
  races::read(row, 16);
  Slot& slot = warp->slots[warp->parity][lane()];
  std::memcpy(slot.words, &row, sizeof row);
  arrive(what, at);
  for (int i = 0; i < 4; ++i) r[i] = slot.words[i];
}

void await_earlier_launches() {
  block->threads[threadIdx.x].awaited = true;
  races::acquire(&block->end);
}

// ---- launches -----------------------------------------------------------------------------------------------------------

namespace {

void enter() {
  entered_fiber(block->host);
  races::acquire(&block->start);
  block->launch->call(block->launch->kernel, block->launch->params);
  if (!block->threads[threadIdx.x].awaited) fail("it left the kernel without await_earlier_launches()");
  arrive(Together::leave, Site::current());
  std::abort();
}

// Once; before every block where the sanitizer is to forget who used it.
void renew_shared() {
  if (block->shared != nullptr && !races::kOn) return;
  std::free(block->shared);
  block->shared = static_cast<char*>(std::aligned_alloc(128, kSharedRoom));
  std::free(block->tokens);
  block->tokens = static_cast<Tokens*>(std::calloc(1, sizeof(Tokens)));
}

bool run_block(const Launch& launch) {
  renew_shared();
#if defined(REDLLM_EMU_ASAN)
  // The sanitizer watches what lies beside shared memory itself.
  __asan_poison_memory_region(block->shared, kSharedRoom);
  __asan_unpoison_memory_region(block->shared + kBand, launch.shared);
  std::memset(block->shared + kBand, kPoison, launch.shared);
#else
  std::memset(block->shared, kPoison, kBand + launch.shared + kBand);
#endif
  const int warps = launch.threads / kLanes;
  for (int i = 0; i < launch.threads; ++i) {
    Thread& thread = block->threads[i];
    thread.awaited = false;
    thread.copies.clear();
    thread.ends.clear();
    start_fiber(thread.fiber, enter);
  }
  for (int i = 0; i < warps; ++i) {
    Warp& w = block->warps[i];
    w.first = i * kLanes;
    w.parity = 0;
    order.fill(w.order, kLanes);
    start_turn(w);
  }
  start_round(warps);
  choose_warp();
  threadIdx.x = static_cast<uint32_t>(warp->first) + warp->order[0];
  block->runs = true;
  switch_fiber(block->host, block->threads[threadIdx.x].fiber);
  block->runs = false;
  if (block->failure[0] != 0)
    for (int i = 0; i < launch.threads; ++i) forget_fiber(block->threads[i].fiber);
  if (block->failure[0] != 0) return false;
#if defined(REDLLM_EMU_ASAN)
  return true;
#endif
  for (size_t i = 0; i < kBand; ++i) {
    const char* below = block->shared + i;
    const char* above = block->shared + kBand + launch.shared + i;
    if (static_cast<unsigned char>(*below & *above) != kPoison) {
      std::snprintf(block->failure, sizeof block->failure,
                    "kernel %s, block (%u, %u, %u): something was written outside of its %zu bytes of shared memory",
                    launch.name, blockIdx.x, blockIdx.y, blockIdx.z, launch.shared);
      return false;
    }
  }
  return true;
}

}  // namespace

const char* run(const Launch& launch) {
  std::lock_guard lock(one_launch);
  if (block == nullptr) block = new Block();
  block->failure[0] = 0;
  if (launch.threads <= 0 || launch.threads > kMaxThreads || launch.threads % kLanes != 0 ||
      launch.shared > kMaxShared || launch.grid.x > 0x7fffffffu || launch.grid.y > 65535 || launch.grid.z > 65535) {
    std::snprintf(
        block->failure, sizeof block->failure,
        "kernel %s cannot be launched with a grid of (%u, %u, %u), %d threads a block and %zu bytes of shared memory",
        launch.name, launch.grid.x, launch.grid.y, launch.grid.z, launch.threads, launch.shared);
    return block->failure;
  }
  for (; block->made < launch.threads; ++block->made) make_fiber(block->threads[block->made].fiber, block->made);
  const FaultHandler faults(on_fault);
  const races::Unwatched unwatched;
  block->host = host_fiber();
  races::release(&block->start);
  block->launch = &launch;
  gridDim = launch.grid;
  blockDim = dim3(static_cast<uint32_t>(launch.threads));
  threadIdx = {0, 0, 0};
  const uint64_t blocks = uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z;
  std::vector<uint32_t> turns(blocks);
  order.fill(turns.data(), static_cast<int>(blocks));
  for (const uint32_t turn : turns) {
    blockIdx = {turn % launch.grid.x, turn / launch.grid.x % launch.grid.y, turn / launch.grid.x / launch.grid.y};
    if (!run_block(launch)) break;
  }
  return block->failure[0] == 0 ? nullptr : block->failure;
}

void see_launches() {
  if (races::kOn && block != nullptr) races::acquire(&block->end);
}

void set_order(uint64_t seed) {
  std::lock_guard lock(one_launch);
  order = order_of(seed);
}

}  // namespace redllm::cuda::emu

// Turns: who runs next, and what warps and blocks do together.
#include "cuda/emu/block.h"

#include <cstdarg>
#include <cstdio>

#include "cuda/emu/block_state.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace redllm::cuda::emu {

Warp* warp = nullptr;
Block* block = nullptr;

// ---- failure ------------------------------------------------------------------------------------------------------------

const char* file_of(const Site& at) {
  const char* slash = std::strrchr(at.file_name(), '/');
  return slash == nullptr ? at.file_name() : slash + 1;
}

void fail(const char* format, ...) {
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

namespace {

const char* name_of(Together what) {
  static const char* const names[] = {
      "the kernel's end", "sync_block", "sync_warp", "shuffle",       "shuffle_xor",
      "shuffle_down",     "shuffle_up", "ballot",    "load_matrices", "load_matrices_transposed",
      "multiply_add"};
  return names[static_cast<int>(what)];
}

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

// ---- turns --------------------------------------------------------------------------------------------------------------

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

uint32_t start_turns() {
  const int warps = static_cast<int>(blockDim.x) / kLanes;
  for (int i = 0; i < warps; ++i) {
    Warp& w = block->warps[i];
    w.first = i * kLanes;
    w.parity = 0;
    order.fill(w.order, kLanes);
    start_turn(w);
  }
  start_round(warps);
  choose_warp();
  return static_cast<uint32_t>(warp->first) + warp->order[0];
}

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
    if (what == Together::leave) token = &block->leaves;
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

}  // namespace redllm::cuda::emu

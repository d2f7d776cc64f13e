// A launch: its blocks, one after the other.
#include <cstdio>
#include <mutex>

#include "cuda/emu/block_state.h"
#include "cuda/emu/fault.h"

#if defined(REDLLM_EMU_ASAN)
#include <sanitizer/asan_interface.h>
#endif

namespace redllm::cuda::emu {

namespace {

uint64_t default_seed() {
  const char* text = std::getenv("REDLLM_EMU_ORDER");
  return text == nullptr ? 0 : std::strtoull(text, nullptr, 10);
}

std::mutex one_launch;

void on_fault(const void* address) {
  if (block->runs) fail("illegal address %p, or no stack left", address);
}

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

// Garbage in shared memory, and beside it what nobody may touch. The address sanitizer, where it is on, watches the bands itself.
void fill_shared(size_t bytes) {
#if defined(REDLLM_EMU_ASAN)
  __asan_poison_memory_region(block->shared, kSharedRoom);
  __asan_unpoison_memory_region(block->shared + kBand, bytes);
  std::memset(block->shared + kBand, kPoison, bytes);
#else
  std::memset(block->shared, kPoison, kBand + bytes + kBand);
#endif
}

[[maybe_unused]] const std::vector<unsigned char>& poisoned_band() {
  static const std::vector<unsigned char> band(kBand, kPoison);
  return band;
}

bool bands_intact() {
#if defined(REDLLM_EMU_ASAN)
  return true;
#else
  const std::vector<unsigned char>& band = poisoned_band();
  return std::memcmp(block->shared, band.data(), kBand) == 0 &&
         std::memcmp(block->shared + kBand + block->launch->shared, band.data(), kBand) == 0;
#endif
}

bool run_block(const Launch& launch) {
  renew_shared();
  fill_shared(launch.shared);
  for (int i = 0; i < launch.threads; ++i) {
    Thread& thread = block->threads[i];
    thread.awaited = false;
    thread.copies.clear();
    thread.ends.clear();
    start_fiber(thread.fiber, enter);
  }
  threadIdx.x = start_turns();
  block->runs = true;
  switch_fiber(block->host, block->threads[threadIdx.x].fiber);
  block->runs = false;
  if (block->failure[0] != 0)
    for (int i = 0; i < launch.threads; ++i) forget_fiber(block->threads[i].fiber);
  if (block->failure[0] != 0) return false;
  if (bands_intact()) return true;
  std::snprintf(block->failure, sizeof block->failure,
                "kernel %s, block (%u, %u, %u): something was written outside of its %zu bytes of shared memory",
                launch.name, blockIdx.x, blockIdx.y, blockIdx.z, launch.shared);
  return false;
}

}  // namespace

TurnOrder order{default_seed()};

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
  if (block->courier == nullptr) block->courier = races::create();
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
  if (races::kOn) carry(&block->leaves, &block->earlier);
  return block->failure[0] == 0 ? nullptr : block->failure;
}

void await_earlier_launches() {
  block->threads[threadIdx.x].awaited = true;
  races::acquire(&block->earlier);
}

void see_launches() {
  if (races::kOn && block != nullptr) races::acquire(&block->earlier);
}

void set_order(uint64_t seed) {
  std::lock_guard lock(one_launch);
  order = TurnOrder(seed);
}

}  // namespace redllm::cuda::emu

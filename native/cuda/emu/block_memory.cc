// What the threads of a block do with shared memory, apart from reading and writing it.
#include <cstdio>

#include "cuda/emu/block_state.h"

namespace redllm::cuda::emu {

char* shared_memory() {
  return block->shared + kBand;
}

void check_aligned(const void* address, size_t bytes, const Site& at) {
  if (reinterpret_cast<uintptr_t>(address) % bytes != 0 || address == nullptr)
    fail("address %p is not aligned to %zu bytes (%s:%u)", address, bytes, file_of(at), at.line());
}

namespace {

void check_shared(const void* address, size_t bytes, const Site& at) {
  check_aligned(address, bytes, at);
  const char* start = shared_memory();
  const char* byte = static_cast<const char*>(address);
  if (byte < start || byte + bytes > start + block->launch->shared)
    fail("address %p is not in the block's %zu bytes of shared memory (%s:%u)", address, block->launch->shared,
         file_of(at), at.line());
}

}  // namespace

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
  }
  const races::Unwatched unwatched;
  for (size_t i = 0; i < copied; ++i) {
    const Copy& copy = thread.copies[i];
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

void carry(void* from, void* to) {
  void* thread = races::current();
  races::go_on_as(block->courier);
  races::acquire(from);
  races::release(to);
  races::go_on_as(thread);
}

void fence_device() {
  races::release(&block->tokens->fence);
}

// A barrier before the operation makes one fence do for the writes of all threads, as does a fence after that barrier.
void pass_on(void* atomic) {
  carry(&block->tokens->fence, atomic);
  races::acquire(atomic);
}

}  // namespace redllm::cuda::emu

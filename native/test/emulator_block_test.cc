// What barriers, atomics and waits are for: blocks of the emulator in several orders of threads, warps and blocks.
#include <algorithm>

#include "cuda/emu/block.h"
#include "cuda/emu/races.h"
#include "emulator_case.h"

using namespace redllm;
using namespace redllm::cuda;
using namespace redllm::test;

namespace {

// out[i] = the sum of the block's numbers up to i, by a scan with two buffers; without its barrier where !barriers.
struct Scan {
  uint32_t* out;
  bool barriers;
};

__global__ void scan(Scan p) {
  await_earlier_launches();
  uint32_t* from = reinterpret_cast<uint32_t*>(shared_memory());
  uint32_t* to = from + blockDim.x;
  const int thread = static_cast<int>(threadIdx.x);
  from[thread] = threadIdx.x + 1;
  sync_block();
  for (int step = 1; step < static_cast<int>(blockDim.x); step *= 2) {
    to[thread] = from[thread] + (thread >= step ? from[thread - step] : 0u);
    if (p.barriers) sync_block();
    uint32_t* swapped = from;
    from = to;
    to = swapped;
  }
  p.out[thread] = from[thread];
}

std::vector<uint32_t> scanned(Context* context, bool barriers, uint64_t order) {
  emu::set_order(order);
  std::vector<uint32_t> out(256);
  run(context, "scan", scan, dim3(1), 256, 2048, Scan{out.data(), barriers});
  emu::set_order(0);
  return out;
}

void test_orders(Context* context) {
  begin("orders");
  std::vector<uint32_t> want(256);
  for (uint32_t i = 0; i < 256; ++i) want[i] = (i + 1) * (i + 2) / 2;
  for (uint64_t order = 0; order < 6; ++order) CHECK(scanned(context, true, order) == want);
  if (emu::races::kOn) return;  // the sanitizer tells
  CHECK(scanned(context, false, 0) != scanned(context, false, 1));
  CHECK(scanned(context, false, 1) != scanned(context, false, 2));
  CHECK(scanned(context, false, 2) == scanned(context, false, 2));
}

// Each block appends its number to a list.
struct List {
  uint32_t* count;
  uint32_t* blocks;
};

__global__ void append_block(List p) {
  await_earlier_launches();
  if (threadIdx.x == 0)
    p.blocks[atomic_add(p.count, 1u)] = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
}

void test_blocks(Context* context) {
  begin("blocks");
  for (uint64_t order = 0; order < 4; ++order) {
    emu::set_order(order);
    uint32_t count = 0;
    std::vector<uint32_t> blocks(30);
    run(context, "append_block", append_block, dim3(2, 3, 5), 64, 0, List{&count, blocks.data()});
    CHECK(count == 30);
    if (order == 0) CHECK(blocks[0] == 0 && blocks[29] == 29);
    if (order == 1) CHECK(blocks[0] == 29 && blocks[29] == 0);
    if (order > 1) CHECK(!std::is_sorted(blocks.begin(), blocks.end()));
    std::sort(blocks.begin(), blocks.end());
    for (uint32_t i = 0; i < 30; ++i) CHECK(blocks[i] == i);
  }
  emu::set_order(0);
  run(context, "append_block", append_block, dim3(0), 64, 0, List{nullptr, nullptr});
}

// The last block to come adds up what all have written: bits that must not depend on the order of blocks.
struct LastBlock {
  float* parts;  // [blocks][threads]
  uint32_t* count;
  float* out;  // [threads]
};

__global__ void last_block(LastBlock p) {
  await_earlier_launches();
  p.parts[blockIdx.x * blockDim.x + threadIdx.x] = 1.0f / static_cast<float>(1 + blockIdx.x + threadIdx.x);
  fence_device();
  sync_block();
  uint32_t* last = reinterpret_cast<uint32_t*>(shared_memory());
  if (threadIdx.x == 0) *last = atomic_add(p.count, 1u) + 1 == gridDim.x;
  sync_block();
  if (*last == 0) return;
  fence_device();
  float sum = 0;
  for (uint32_t i = 0; i < gridDim.x; ++i) sum += load_fresh(p.parts + i * blockDim.x + threadIdx.x);
  p.out[threadIdx.x] = sum;
}

void test_last_block(Context* context) {
  begin("last block");
  for (uint64_t order = 0; order < 4; ++order) {
    emu::set_order(order);
    std::vector<float> parts(7 * 64), out(64);
    uint32_t count = 0;
    run(context, "last_block", last_block, dim3(7), 64, 16, LastBlock{parts.data(), &count, out.data()});
    for (int i = 0; i < 64; ++i) {
      float want = 0;
      for (int b = 0; b < 7; ++b) want += 1.0f / static_cast<float>(1 + b + i);
      CHECK(out[i] == want);
    }
  }
  emu::set_order(0);
}

// Three groups of copies; what the thread sees once at most `kPending` are under way.
struct Copies {
  const float* from;  // [12]
  float* out;         // [12]
};

template <int kPending>
__global__ void copies(Copies p) {
  await_earlier_launches();
  float* shared = reinterpret_cast<float*>(shared_memory());
  if (threadIdx.x == 0) {
    for (int i = 0; i < 12; ++i) shared[i] = 1000;
    for (int group = 0; group < 3; ++group) {
      copy_async(shared + 4 * group, p.from + 4 * group, group != 1);
      copy_async_commit();
    }
    copy_async_wait<kPending>();
    for (int i = 0; i < 12; ++i) p.out[i] = shared[i];
  }
}

void test_copies(Context* context) {
  begin("copies");
  alignas(16) float from[12];
  float out[12];
  for (int i = 0; i < 12; ++i) from[i] = static_cast<float>(i + 1);
  const auto check = [&](int copied) {
    for (int i = 0; i < 12; ++i) {
      if (i >= 4 * copied)
        CHECK(std::isnan(out[i]));
      else
        CHECK(out[i] == (i / 4 == 1 ? 0 : from[i]));
    }
  };
  run(context, "copies", copies<0>, dim3(1), 32, 48, Copies{from, out});
  check(3);
  run(context, "copies", copies<1>, dim3(1), 32, 48, Copies{from, out});
  check(2);
  run(context, "copies", copies<3>, dim3(1), 32, 48, Copies{from, out});
  check(0);
}

}  // namespace

int main() {
  Context context = {};
  test_orders(&context);
  test_blocks(&context);
  test_last_block(&context);
  test_copies(&context);
  CHECK(context.failure[0] == 0);
  return report();
}

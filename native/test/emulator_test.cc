// The emulator of CUDA itself: what warps and blocks do together, memory, graphs, and that every misuse is told.
#include <algorithm>
#include <cfloat>
#include <csetjmp>
#include <csignal>

#include "check.h"
#include "cuda/context.cuh"
#include "cuda/emu/fiber.h"
#include "cuda/emu/memory.h"
#include "cuda/emu/status.h"
#include "cuda/emu/stream.h"
#include "cuda/ptx.cuh"

using namespace redllm;
using namespace redllm::cuda;
using namespace redllm::test;

namespace {

// A launch, and a wait for it: the host may look at what it did.
template <typename Params>
void run(Context* context, const char* name, void (*kernel)(Params), dim3 grid, int threads, size_t shared,
         const Params& params) {
  launch(context, name, kernel, grid, threads, shared, params);
  cudaStreamSynchronize(context->stream);
}

struct Shuffles {
  int32_t* out;  // [blocks][threads][8]
};

__global__ void shuffles(Shuffles p) {
  await_earlier_launches();
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  int32_t* out = p.out + (int64_t{blockIdx.x} * blockDim.x + thread) * 8;
  out[0] = shuffle_xor(thread, 5);
  out[1] = shuffle(thread, (lane * 7) % 32);
  out[2] = shuffle_down(thread, 3);
  out[3] = shuffle_up(thread, 3);
  out[4] = static_cast<int32_t>(ballot(lane % 3 == 0));
  out[5] = any_lane(thread == 40);
  out[6] = all_lanes(thread < 32);
  out[7] = static_cast<int32_t>(shuffle(int64_t{thread} << 33, 1) >> 33);
}

void test_shuffles(Context* context) {
  begin("shuffles");
  std::vector<int32_t> out(2 * 64 * 8);
  run(context, "shuffles", shuffles, dim3(2), 64, 0, Shuffles{out.data()});
  for (int block = 0; block < 2; ++block)
    for (int thread = 0; thread < 64; ++thread) {
      const int32_t* got = &out[(block * 64 + thread) * 8];
      const int lane = thread % 32, base = thread - lane;
      CHECK(got[0] == base + (lane ^ 5));
      CHECK(got[1] == base + lane * 7 % 32);
      CHECK(got[2] == (lane + 3 < 32 ? thread + 3 : thread));
      CHECK(got[3] == (lane >= 3 ? thread - 3 : thread));
      CHECK(got[4] == static_cast<int32_t>(0x49249249u));
      CHECK(got[5] == (base == 32));
      CHECK(got[6] == (base == 0));
      CHECK(got[7] == base + 1);
    }
}

// A product of one tile, a [16, 16] and b [8, 16] row by row, as kernels do it: copied to shared memory, loaded as fragments.
struct Product {
  const uint16_t* a;
  const uint16_t* b;  // [8 columns, 16 k], or [16 k, 8 columns] where transposed
  float* d;           // [16, 8]
  bool transposed;
};

__global__ void product(Product p) {
  await_earlier_launches();
  uint16_t* a = reinterpret_cast<uint16_t*>(shared_memory());
  uint16_t* b = a + 256;
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  copy_async(a + lane * 8, p.a + lane * 8, true);
  copy_async_commit();
  copy_async(b + lane * 8, p.b + lane % 16 * 8, lane < 16);
  copy_async_commit();
  copy_async_wait<0>();
  sync_warp();
  uint32_t left[4], right[4];
  load_matrices(left, a + lane % 16 * 16 + lane / 16 * 8);
  if (p.transposed)
    load_matrices_transposed(right, b + lane % 16 * 8);
  else
    load_matrices(right, b + lane % 8 * 16 + lane / 8 % 2 * 8);
  float d[4] = {p.d[g * 8 + 2 * t], p.d[g * 8 + 2 * t + 1], p.d[(g + 8) * 8 + 2 * t], p.d[(g + 8) * 8 + 2 * t + 1]};
  multiply_add(d, left, right[0], right[1]);
  for (int i = 0; i < 4; ++i) p.d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = d[i];
}

void test_product(Context* context) {
  begin("product");
  Random random(1);
  for (const bool transposed : {false, true}) {
    alignas(16) uint16_t a[256], b[128];
    float d[128], want[128];
    for (uint16_t& x : a) x = to_bf16(random.real());
    for (uint16_t& x : b) x = to_bf16(random.real());
    for (float& x : d) x = random.real();
    for (int i = 0; i < 16; ++i)
      for (int j = 0; j < 8; ++j) {
        float sum = d[i * 8 + j];
        for (int k = 0; k < 16; ++k)
          sum = std::fma(from_bf16(a[i * 16 + k]), from_bf16(transposed ? b[k * 8 + j] : b[j * 16 + k]), sum);
        want[i * 8 + j] = sum;
      }
    run(context, "product", product, dim3(1), 32, 1024, Product{a, b, d, transposed});
    CHECK(std::memcmp(d, want, sizeof d) == 0);
  }
}

// ---- what barriers and waits are for ------------------------------------------------------------------------------------

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

// ---- misuse -------------------------------------------------------------------------------------------------------------

enum class Misuse {
  half_warp_shuffles,
  two_lines,
  two_kinds,
  lane_leaves,
  warp_leaves,
  warps_at_two_barriers,
  misaligned_load,
  misaligned_copy,
  copy_beyond_shared,
  matrix_beyond_shared,
  misaligned_matrix,
  write_beyond_shared,
  write_beyond_allocation,
  illegal_address,
  endless_recursion,
  starts_too_early
};

struct Wrong {
  Misuse misuse;
  char* memory;   // 64 bytes of the device
  char* nowhere;  // address 64
};

__attribute__((noinline)) int recursion(volatile int* depth) {
  volatile int mine = *depth + 1;
  return mine < 0 ? 0 : recursion(&mine) + mine;
}

__global__ void wrong(Wrong p) {
  if (p.misuse != Misuse::starts_too_early || blockIdx.x != 1 || threadIdx.x != 37) await_earlier_launches();
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const bool one = blockIdx.x == 1 && thread == 37;
  uint32_t r[4];
  switch (p.misuse) {
    case Misuse::half_warp_shuffles:
      if (lane < 16) shuffle_xor(lane, 1);
      break;
    case Misuse::two_lines:
      if (lane < 16)
        shuffle_xor(lane, 1);
      else
        shuffle_xor(lane, 2);
      break;
    case Misuse::two_kinds:
      lane < 16 ? sync_warp() : sync_block();
      break;
    case Misuse::lane_leaves:
      if (one) return;
      sync_warp();
      break;
    case Misuse::warp_leaves:
      if (warp == 1) return;
      sync_block();
      break;
    case Misuse::warps_at_two_barriers:
      if (warp == 1)
        sync_block();
      else
        sync_block();
      break;
    case Misuse::misaligned_load:
      if (one) load_stream(p.memory + 8);
      break;
    case Misuse::misaligned_copy:
      if (one) copy_async(shared_memory(), p.memory + 4, true);
      break;
    case Misuse::copy_beyond_shared:
      if (one) copy_async(shared_memory() + 1024, p.memory, true);
      break;
    case Misuse::matrix_beyond_shared:
      load_matrices(r, shared_memory() + 1024 - (one ? 0 : 16));
      break;
    case Misuse::misaligned_matrix:
      load_matrices_transposed(r, shared_memory() + (one ? 8 : 16));
      break;
    case Misuse::write_beyond_shared:
      if (one) shared_memory()[1024] = 1;
      break;
    case Misuse::write_beyond_allocation:
      if (one) p.memory[64] = 1;
      break;
    case Misuse::illegal_address:
      if (one) *p.nowhere = 1;
      break;
    case Misuse::endless_recursion:
      if (one) {
        volatile int depth = 0;
        p.memory[0] = static_cast<char>(recursion(&depth));
      }
      break;
    case Misuse::starts_too_early:
      break;
  }
}

void test_misuse(Context* context) {
  begin("misuse");
  emu::quiet = true;
  char* memory = nullptr;
  CHECK(cudaMalloc(&memory, 64) == cudaSuccess);
  char* const nowhere = reinterpret_cast<char*>(uintptr_t{64});
  const auto tells = [&](Misuse misuse, const char* words) {
    for (uint64_t order = 0; order < 4; ++order) {
      emu::set_order(order);
      run(context, "wrong", wrong, dim3(3), 64, 1024, Wrong{misuse, memory, nowhere});
      if (!CHECK(std::strstr(context->failure, words) != nullptr) || !CHECK(std::strstr(context->failure, "wrong")))
        std::fprintf(stderr, "%s: %s\n", words, context->failure);
      // All that follows fails.
      CHECK(cudaStreamSynchronize(nullptr) == cudaErrorLaunchFailure);
      CHECK(cudaMemset(memory, 0, 64) == cudaErrorLaunchFailure);
      uint32_t count = 0, blocks[1];
      run(context, "append_block", append_block, dim3(1), 32, 0, List{&count, blocks});
      CHECK(count == 0);
      CHECK(cudaDeviceReset() == cudaSuccess);
      context->failure[0] = 0;
    }
    emu::set_order(0);
  };
  const char* const at = "block (1, 0, 0), thread 37: ";
  tells(Misuse::half_warp_shuffles, "other lanes of its warp");
  tells(Misuse::two_lines, "it is at shuffle_xor (emulator_test.cc:");
  tells(Misuse::two_kinds, "while other lanes of its warp are at sync_");
  tells(Misuse::lane_leaves, "left the kernel");
  tells(Misuse::warp_leaves, "left the kernel");
  tells(Misuse::warps_at_two_barriers, "while other warps are at sync_block");
  tells(Misuse::misaligned_load, "aligned to 16 bytes");
  tells(Misuse::misaligned_load, at);
  tells(Misuse::misaligned_copy, "aligned to 16 bytes");
  tells(Misuse::copy_beyond_shared, "not in the block's 1024 bytes");
  tells(Misuse::copy_beyond_shared, at);
  tells(Misuse::matrix_beyond_shared, "not in the block's 1024 bytes");
  tells(Misuse::matrix_beyond_shared, at);
  tells(Misuse::misaligned_matrix, "aligned to 16 bytes");
#if !defined(REDLLM_EMU_ASAN) && !defined(REDLLM_EMU_RACES)  // sanitizers find these themselves, and end the program
  tells(Misuse::write_beyond_shared, "outside of its 1024 bytes of shared memory");
  tells(Misuse::write_beyond_allocation, "outside of an allocation of 64 bytes");
  tells(Misuse::illegal_address, "illegal address 0x40");
  tells(Misuse::illegal_address, at);
  tells(Misuse::endless_recursion, "no stack left");
  tells(Misuse::starts_too_early, "without await_earlier_launches()");
#endif
  run(context, "wrong", wrong, dim3(1), 48, 0, Wrong{});
  CHECK(std::strstr(context->failure, "cannot be launched") != nullptr);
  cudaDeviceReset();
  context->failure[0] = 0;
  run(context, "wrong", wrong, dim3(1), 32, 228 << 10, Wrong{});
  CHECK(std::strstr(context->failure, "cannot be launched") != nullptr);
  cudaDeviceReset();
  context->failure[0] = 0;
  CHECK(cudaFree(memory) == cudaSuccess);
  emu::quiet = false;
}

// ---- memory, streams, graphs --------------------------------------------------------------------------------------------

void test_memory() {
  begin("memory");
  size_t free = 0, total = 0, before = 0;
  CHECK(cudaMemGetInfo(&before, &total) == cudaSuccess && total == size_t{1} << 30);
  unsigned char *a = nullptr, *b = nullptr, *pinned = nullptr, host[100] = {};
  CHECK(cudaMalloc(&a, 1000) == cudaSuccess && reinterpret_cast<uintptr_t>(a) % 256 == 0);
  CHECK(a[0] == 0xff && a[999] == 0xff);
  CHECK(cudaMallocManaged(&b, 1 << 20) == cudaSuccess);
  CHECK(cudaMallocHost(&pinned, 1 << 20) == cudaSuccess);
  CHECK(cudaMemGetInfo(&free, &total) == cudaSuccess && before - free == 1024 + (1 << 20));
  void* more = nullptr;
  CHECK(cudaMalloc(&more, free + 1) == cudaErrorMemoryAllocation && more == nullptr);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation && cudaGetLastError() == cudaSuccess);

  CHECK(cudaMemset(a, 7, 1000) == cudaSuccess && a[999] == 7);
  CHECK(cudaMemcpy(host, a + 900, 100, cudaMemcpyDeviceToHost) == cudaSuccess && host[99] == 7);
  CHECK(cudaMemcpy(host, a + 901, 100, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(cudaMemcpy(a, host, 100, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(cudaMemcpy(pinned, host, 100, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK(cudaMemset(a, 7, 1001) == cudaErrorInvalidValue);
  CHECK(cudaFree(pinned) == cudaErrorInvalidValue && cudaFreeHost(a) == cudaErrorInvalidValue);
  CHECK(cudaFree(a + 1) == cudaErrorInvalidValue);
  cudaPointerAttributes attributes;
  CHECK(cudaPointerGetAttributes(&attributes, a + 5) == cudaSuccess && attributes.type == cudaMemoryTypeDevice);
  CHECK(cudaPointerGetAttributes(&attributes, host) == cudaSuccess && attributes.type == cudaMemoryTypeUnregistered);

  CHECK(cudaFree(a) == cudaSuccess && cudaFree(b) == cudaSuccess && cudaFreeHost(pinned) == cudaSuccess);
  CHECK(cudaFree(nullptr) == cudaSuccess);
  CHECK(cudaMemGetInfo(&free, &total) == cudaSuccess && free == before);
  cudaGetLastError();
}

sigjmp_buf after_fault;

// Whether the host may read there.
bool readable(const int32_t* data) {
  struct sigaction action = {}, before;
  action.sa_handler = [](int) { siglongjmp(after_fault, 1); };
  sigaction(SIGSEGV, &action, &before);
  volatile bool held = false;
  if (sigsetjmp(after_fault, 1) == 0) {
    static_cast<void>(*static_cast<const volatile int32_t*>(data));
    held = true;
  }
  sigaction(SIGSEGV, &before, nullptr);
  return held;
}

struct Add {
  int32_t* to;
  int32_t amount;
};

__global__ void add(Add p) {
  await_earlier_launches();
  if (threadIdx.x == 0) *p.to += p.amount;
}

void test_deferred(Context* context) {
  begin("deferred");
  cudaStream_t stream, other;
  cudaEvent_t event;
  int32_t *device = nullptr, *pinned = nullptr;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  CHECK(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking) == cudaSuccess);
  CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming) == cudaSuccess);
  CHECK(cudaMalloc(&device, 4) == cudaSuccess && cudaMallocHost(&pinned, 8) == cudaSuccess);
  context->stream = stream;
  emu::set_deferred(true);
  const auto send = [&] {
    CHECK(cudaMemcpyAsync(device, pinned, 4, cudaMemcpyHostToDevice, stream) == cudaSuccess);
    launch(context, "add", add, dim3(1), 32, 0, Add{device, 5});
    CHECK(cudaMemcpyAsync(pinned + 1, device, 4, cudaMemcpyDeviceToHost, stream) == cudaSuccess);
    CHECK(cudaEventRecord(event, stream) == cudaSuccess);
  };
  // Neither read too early nor spared from what the host does too early.
  pinned[0] = 1;
  pinned[1] = -1;
  send();
  CHECK(pinned[1] == -1);
  pinned[0] = 2;
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess && pinned[1] == 7);
  // An event; one that is asked until it has come; another stream that waits for it.
  send();
  launch(context, "add", add, dim3(1), 32, 0, Add{device, 100});
  CHECK(cudaEventSynchronize(event) == cudaSuccess && pinned[1] == 7 && *device == 7);
  send();
  int asked = 0;
  while (cudaEventQuery(event) == cudaErrorNotReady) ++asked;
  CHECK(asked == 4 && pinned[1] == 7);  // the addition of 100 and the three of send()
  send();
  CHECK(cudaStreamWaitEvent(other, event) == cudaSuccess);
  CHECK(cudaMemcpyAsync(pinned, pinned + 1, 4, cudaMemcpyHostToHost, other) == cudaSuccess);
  CHECK(cudaStreamSynchronize(other) == cudaSuccess && pinned[0] == 7);
  // Memory of the host that is not pinned is taken over, or filled, before the call returns.
  int32_t plain = 40;
  CHECK(cudaMemcpyAsync(device, &plain, 4, cudaMemcpyHostToDevice, stream) == cudaSuccess);
  plain = 0;
  launch(context, "add", add, dim3(1), 32, 0, Add{device, 2});
  CHECK(cudaMemcpyAsync(&plain, device, 4, cudaMemcpyDeviceToHost, stream) == cudaSuccess && plain == 42);
  // Freeing waits.
  launch(context, "add", add, dim3(1), 32, 0, Add{pinned, 1});
  CHECK(pinned[0] == 7 && cudaFree(device) == cudaSuccess && pinned[0] == 8);
  // A failure comes late.
  emu::quiet = true;
  launch(context, "wrong", wrong, dim3(1), 64, 0, Wrong{Misuse::warp_leaves, nullptr, nullptr});
  CHECK(context->failure[0] == 0 && cudaStreamSynchronize(stream) == cudaErrorLaunchFailure);
  CHECK(std::strstr(cudaGetErrorString(cudaErrorLaunchFailure), "left the kernel") != nullptr);
  emu::quiet = false;
  cudaDeviceReset();

  emu::set_deferred(false);
  context->stream = nullptr;
  CHECK(cudaFreeHost(pinned) == cudaSuccess && cudaEventDestroy(event) == cudaSuccess);
  CHECK(cudaStreamDestroy(stream) == cudaSuccess && cudaStreamDestroy(other) == cudaSuccess);
}

void test_apart(Context* context) {
  begin("apart");
  int32_t *device = nullptr, *managed = nullptr, *pinned = nullptr, host = 7;
  emu::set_apart(true);
  CHECK(cudaMalloc(&device, 4) == cudaSuccess && cudaMallocManaged(&managed, 4) == cudaSuccess);
  CHECK(cudaMallocHost(&pinned, 4) == cudaSuccess);
  CHECK(!readable(device) && readable(managed) && readable(pinned));
  CHECK(cudaMemcpy(device, &host, 4, cudaMemcpyHostToDevice) == cudaSuccess);
  run(context, "add", add, dim3(1), 32, 0, Add{device, 5});
  CHECK(!readable(device));
  CHECK(cudaMemcpy(&host, device, 4, cudaMemcpyDeviceToHost) == cudaSuccess && host == 12);
  *managed = *pinned = 1;
  run(context, "add", add, dim3(1), 32, 0, Add{managed, 5});
  run(context, "add", add, dim3(1), 32, 0, Add{pinned, 5});
  CHECK(*managed == 6 && *pinned == 6 && context->failure[0] == 0);
  emu::quiet = true;
  run(context, "add", add, dim3(1), 32, 0, Add{&host, 5});
  CHECK(std::strstr(context->failure, "which is the host's") != nullptr && host == 12);
  emu::quiet = false;
  context->failure[0] = 0;
  CHECK(cudaDeviceReset() == cudaSuccess);
  CHECK(cudaFree(device) == cudaSuccess && cudaFree(managed) == cudaSuccess && cudaFreeHost(pinned) == cudaSuccess);
  emu::set_apart(false);
}

void test_graphs(Context* context) {
  begin("graphs");
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  int32_t *device = nullptr, *pinned = nullptr;
  CHECK(cudaStreamCreate(&stream) == cudaSuccess);
  CHECK(cudaMalloc(&device, 4) == cudaSuccess && cudaMallocHost(&pinned, 8) == cudaSuccess);
  context->stream = stream;
  pinned[0] = 1;
  pinned[1] = 0;
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  CHECK(cudaMemcpyAsync(device, pinned, 4, cudaMemcpyHostToDevice, stream) == cudaSuccess);
  for (int32_t i = 1; i <= 3; ++i) launch(context, "add", add, dim3(1), 32, 0, Add{device, i});
  CHECK(cudaMemcpyAsync(pinned + 1, device, 4, cudaMemcpyDeviceToHost, stream) == cudaSuccess);
  cudaStreamCaptureStatus status;
  CHECK(cudaStreamIsCapturing(stream, &status) == cudaSuccess && status == cudaStreamCaptureStatusActive);
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaSuccess && pinned[1] == 0);
  CHECK(cudaGraphInstantiate(&executable, graph, 0) == cudaSuccess && cudaGraphDestroy(graph) == cudaSuccess);
  for (const int32_t start : {10, 20}) {
    pinned[0] = start;
    CHECK(cudaGraphLaunch(executable, stream) == cudaSuccess && cudaStreamSynchronize(stream) == cudaSuccess);
    CHECK(pinned[1] == start + 6);
  }
  CHECK(cudaGraphExecDestroy(executable) == cudaSuccess);

  // What a capture forbids loses it.
  void* more = nullptr;
  const auto forbidden = [&](auto call) {
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal) == cudaSuccess);
    CHECK(call() == cudaErrorStreamCaptureUnsupported);
    CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated && graph == nullptr);
  };
  forbidden([&] { return cudaMalloc(&more, 16); });
  forbidden([&] { return cudaFree(device); });
  forbidden([&] { return cudaStreamSynchronize(stream); });
  forbidden([&] { return cudaDeviceSynchronize(); });
  forbidden([&] { return cudaMemcpy(pinned, device, 4, cudaMemcpyDeviceToHost); });
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed) == cudaSuccess);
  CHECK(cudaMalloc(&more, 16) == cudaSuccess && cudaFree(more) == cudaSuccess);
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaSuccess && cudaGraphDestroy(graph) == cudaSuccess);
  cudaGetLastError();

  context->stream = nullptr;
  CHECK(cudaFree(device) == cudaSuccess && cudaFreeHost(pinned) == cudaSuccess);
  CHECK(cudaStreamDestroy(stream) == cudaSuccess);
}

void test_arithmetic() {
  begin("arithmetic");
  CHECK(exp2_fast(-INFINITY) == 0 && exp2_fast(-127) == 0 && exp2_fast(-126) == 0x1p-126f && exp2_fast(3) == 8);
  CHECK(std::isnan(exp2_fast(NAN)));
  CHECK(to_bf16(1.0f) == 0x3f80 && to_bf16(1.00390625f) == 0x3f80 && to_bf16(1.01171875f) == 0x3f82);
  CHECK(to_bf16(NAN) == 0x7fff && to_bf16(INFINITY) == 0x7f80 && to_bf16(-3e38f) == 0xff62);
  CHECK(to_bf16(FLT_MAX) == 0x7f80);
  CHECK(pack_bf16(1, 2) == 0x40003f80u && low_bf16(0x40003f80u) == 1 && high_bf16(0x40003f80u) == 2);
  int32_t number = 5;
  CHECK(atomic_min(&number, 3) == 5 && number == 3 && atomic_add(&number, -4) == 3 && number == -1);
  uint32_t word = 5;
  CHECK(atomic_max(&word, 3u) == 5 && word == 5 && atomic_max(&word, 9u) == 5 && word == 9);
}

}  // namespace

int main() {
  Context context = {};
  for (uint64_t order = 0; order < 5; ++order) {
    emu::set_order(order);
    test_shuffles(&context);
    test_product(&context);
  }
  test_orders(&context);
  test_blocks(&context);
  test_last_block(&context);
  test_copies(&context);
  test_misuse(&context);
  test_memory();
  test_deferred(&context);
  test_apart(&context);
  test_graphs(&context);
  test_arithmetic();
  CHECK(context.failure[0] == 0);
  return report();
}

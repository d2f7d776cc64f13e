// That the emulator tells every misuse in a kernel, with the kernel, the block and the thread.
#include "cuda/emu/block.h"
#include "cuda/emu/fiber.h"
#include "cuda/emu/status.h"
#include "emulator_case.h"

using namespace redllm;
using namespace redllm::cuda;
using namespace redllm::test;

namespace {

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
      int32_t count = 0;
      run(context, "add", add, dim3(1), 32, 0, Add{&count, 1});
      CHECK(count == 0);
      CHECK(cudaDeviceReset() == cudaSuccess);
      context->failure[0] = 0;
    }
    emu::set_order(0);
  };
  const char* const at = "block (1, 0, 0), thread 37: ";
  tells(Misuse::half_warp_shuffles, "other lanes of its warp");
  tells(Misuse::two_lines, "it is at shuffle_xor (emulator_misuse_test.cc:");
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

}  // namespace

int main() {
  Context context = {};
  test_misuse(&context);
  CHECK(context.failure[0] == 0);
  return report();
}

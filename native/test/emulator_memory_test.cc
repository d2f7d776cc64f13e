// The emulated device's memory: what it holds, what calls refuse, and that it can be closed to the host.
#include <csetjmp>
#include <csignal>

#include "cuda/emu/memory.h"
#include "cuda/emu/status.h"
#include "emulator_case.h"

using namespace redllm;
using namespace redllm::cuda;
using namespace redllm::test;

namespace {

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

}  // namespace

int main() {
  Context context = {};
  test_memory();
  test_apart(&context);
  CHECK(context.failure[0] == 0);
  return report();
}

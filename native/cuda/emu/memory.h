// The emulated device's memory: allocations between guard bands, counted.
#pragma once

#include "cuda/emu/cuda_runtime.h"

#pragma GCC visibility push(hidden)

namespace redllm::cuda::emu {

enum class Memory : int { device, managed, pinned };

cudaError_t allocate(Memory, void** data, size_t bytes);
// Of an allocation of one of these kinds. cudaErrorIllegalAddress where a guard was overwritten.
cudaError_t release(void* data, bool pinned);
// Whether the whole range lies in one allocation that the device (the host) may use.
bool device_sees(const void* data, size_t bytes);
bool host_sees(const void* data, size_t bytes);
bool find(const void* data, Memory* kind);
// Null, or a sentence on the first allocation of which a guard was overwritten; it is mended.
const char* overwritten();
// Host and device apart (set_apart(), environment variable REDLLM_EMU_APART=1): memory of cudaMalloc() that is allocated from now on is
// closed to the host, and to kernels but for the time of an instance of DeviceAccess.
void set_apart(bool);
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};
// Where host and device are apart: the first word that is the address of memory in use, but none that a kernel may use; else null.
const void* foreign_pointer(const void* words, size_t bytes);
size_t capacity();
size_t in_use();

}  // namespace redllm::cuda::emu

#pragma GCC visibility pop

#include "cuda/emu/status.h"

#include <cstdio>
#include <string>

namespace redllm::cuda::emu {

bool quiet = false;

namespace {

std::string first_failure;
cudaError_t lasting_code = cudaSuccess;
thread_local cudaError_t last = cudaSuccess;

}  // namespace

std::recursive_mutex& device_mutex() {
  static auto* mutex = new std::recursive_mutex();  // outlives every static that still frees
  return *mutex;
}

cudaError_t noted(cudaError_t code) {
  if (code != cudaSuccess && code != cudaErrorNotReady) last = code;
  return code;
}

cudaError_t lasting() {
  std::lock_guard lock(device_mutex());
  return lasting_code;
}

cudaError_t fail_device(const char* sentence) {
  std::lock_guard lock(device_mutex());
  if (!quiet) std::fprintf(stderr, "CUDA emulator: %s\n", sentence);
  if (lasting_code == cudaSuccess) first_failure = sentence;
  return lasting_code = cudaErrorLaunchFailure;
}

const char* failure() {
  std::lock_guard lock(device_mutex());
  return first_failure.c_str();
}

}  // namespace redllm::cuda::emu

using namespace redllm::cuda::emu;

namespace {

struct Text {
  cudaError_t code;
  const char* name;
  const char* sentence;
};

const Text& text_of(cudaError_t code) {
  static const Text texts[] = {
      {cudaSuccess, "cudaSuccess", "no error"},
      {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
      {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
      {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
      {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
      {cudaErrorIllegalState, "cudaErrorIllegalState", "the operation cannot be performed in the present state"},
      {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
      {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
      {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
      {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
      {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
       "operation not permitted when stream is capturing"},
      {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
       "operation failed due to a previous error during capture"}};
  for (const Text& text : texts)
    if (text.code == code) return text;
  static const Text unknown = {cudaSuccess, "unrecognized error code", "unrecognized error code"};
  return unknown;
}

}  // namespace

// Where a launch failed, the emulator knows more than a device would say.
const char* cudaGetErrorString(cudaError_t code) {
  return code == cudaErrorLaunchFailure && *failure() != 0 ? failure() : text_of(code).sentence;
}

const char* cudaGetErrorName(cudaError_t code) {
  return text_of(code).name;
}

cudaError_t cudaGetLastError() {
  const cudaError_t code = lasting() != cudaSuccess ? lasting() : last;
  last = cudaSuccess;
  return code;
}

cudaError_t cudaDeviceReset() {
  std::lock_guard lock(device_mutex());
  lasting_code = last = cudaSuccess;
  first_failure.clear();
  return cudaSuccess;
}

// The table of the CUDA backend, and the one symbol that its library exports.
#include "cuda/backend.cuh"

#include <cstdio>

#include "cuda/library_product.h"
#include "cuda/ops/ops_internal.cuh"
#include "cuda/runs.cuh"
#include "device_library.h"

namespace redllm::cuda {

bool succeeded(Context* context, cudaError_t code, const char* what) {
  if (code == cudaSuccess) return true;
  cudaGetLastError();
  if (context->runs != nullptr && context->runs->recording()) {
    context->runs->spoil();
  } else if (context->failure[0] == '\0') {
    std::snprintf(context->failure, sizeof context->failure, "CUDA device %d failed at %s: %s (%s)", context->device,
                  what, cudaGetErrorString(code), cudaGetErrorName(code));
  }
  return false;
}

bool make_current(Context* context) {
  return succeeded(context, cudaSetDevice(context->device), "choosing the device");
}

namespace {

const char* error(Context* context) {
  return context->failure[0] == '\0' ? nullptr : context->failure;
}

bool synchronize(Context* context) {
  return make_current(context) &&
         succeeded(context, cudaStreamSynchronize(context->stream), "waiting for the device") &&
         context->failure[0] == '\0';
}

const Ops kTable = {
    .abi = kOpsAbi,
#if defined(REDLLM_EMU)
    .name = "cuda emulated",
#else
    .name = "cuda",
#endif
    .host_memory = false,
    .allocate = allocate,
    .release = release,
    .memory = memory,
    .upload = upload,
    .download = download,
    .wait = wait,
    .begin_run = begin_run,
    .end_run = end_run,
    .drop_runs = drop_runs,
    .error = error,
    .weight_bytes = weight_bytes,
    .pack = pack,
    .page_bytes = page_bytes,
    .embed = embed,
    .gather = gather,
    .norm = norm,
    .matmul = matmul,
    .append = append,
    .attention = attention,
    .attention_mass = attention_mass,
    .copy_pages = copy_pages,
    .set_history = set_history,
    .sample = sample,
};

const DeviceLibraryEntry kEntry = {
    .abi = kOpsAbi,
    .size = sizeof(DeviceLibraryEntry),
#if defined(REDLLM_EMU)
    .build = "emulated on the CPU",
#else
    .build = REDLLM_CUDA_BUILD,
#endif
    .ops = &kTable,
    .count = count_devices,
    .describe = describe_device,
    .open = open_device,
    .close = close_device,
    .note = library_product_note,
    .allocate_shared = allocate_shared,
    .release_shared = release_shared,
    .synchronize = synchronize,
};

}  // namespace
}  // namespace redllm::cuda

extern "C" __attribute__((visibility("default"))) const redllm::DeviceLibraryEntry* redllm_device_library() {
  return &redllm::cuda::kEntry;
}

// Devices: which there are, and what it takes to compute on one.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "cuda/backend.cuh"
#include "cuda/copies.cuh"
#include "cuda/library_product.h"
#include "cuda/ptx.cuh"
#include "cuda/runs.cuh"

namespace redllm::cuda {
namespace {

constexpr int kMinimumCapability = 80;
constexpr int32_t kProbeThreads = 64;

constexpr int32_t kEarly = 1 << 16;

struct ProbeParams {
  int32_t* out;  // [kProbeThreads] 3 i + 1, and kEarly where the kernels of this device wait for those before them
};

__global__ void __launch_bounds__(kProbeThreads) probe(const ProbeParams p) {
  await_earlier_launches();
  p.out[threadIdx.x] = static_cast<int32_t>(3 * threadIdx.x + 1) + (kStartsEarly ? kEarly : 0);
}

// "13.0" of 13000 + 10 * 0.
void version_text(int version, char* text, uint64_t room) {
  std::snprintf(text, room, "%d.%d", version / 1000, version % 1000 / 10);
}

// Whether there is a driver that this runtime can use. Never asks for a device.
bool driver_serves(char* why, uint64_t room) {
  int driver = 0, runtime = 0;
  if (cudaRuntimeGetVersion(&runtime) != cudaSuccess || cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
    cudaGetLastError();
    std::snprintf(why, room, "no NVIDIA driver is installed");
    return false;
  }
  if (driver / 1000 >= runtime / 1000) return true;
  char has[16], needs[16];
  version_text(driver, has, sizeof has);
  version_text(runtime / 1000 * 1000, needs, sizeof needs);
  std::snprintf(why, room, "the NVIDIA driver serves CUDA %s, but %s is needed", has, needs);
  return false;
}

int attribute(int32_t device, cudaDeviceAttr which) {
  int value = 0;
  if (cudaDeviceGetAttribute(&value, which, device) != cudaSuccess) cudaGetLastError();
  return value;
}

int32_t capability_of(int32_t device) {
  return 10 * attribute(device, cudaDevAttrComputeCapabilityMajor) +
         attribute(device, cudaDevAttrComputeCapabilityMinor);
}

// A kernel runs and its result comes back.
bool computes(Context* context) {
  int32_t result[kProbeThreads] = {};
  launch(context, "running a first kernel", probe, dim3(1), kProbeThreads, 0,
         ProbeParams{reinterpret_cast<int32_t*>(context->workspace)});
  succeeded(context,
            cudaMemcpyAsync(result, context->workspace, sizeof result, cudaMemcpyDeviceToHost, context->stream),
            "running a first kernel");
  succeeded(context, cudaStreamSynchronize(context->stream), "running a first kernel");
  if (context->failure[0] != '\0') return false;
  const bool early = result[0] >= kEarly;
  for (int32_t i = 0; i < kProbeThreads; ++i)
    if (result[i] != 3 * i + 1 + (early ? kEarly : 0)) {
      std::snprintf(context->failure, sizeof context->failure, "a first kernel computed something wrong");
      return false;
    }
  const char* setting = std::getenv("REDLLM_START_EARLY");
  context->starts_early = early && (setting == nullptr || std::strcmp(setting, "off") != 0);
  return true;
}

bool prepare(Context* context) {
  if (!make_current(context)) return false;
  if (!succeeded(context, cudaStreamCreateWithFlags(&context->stream, cudaStreamNonBlocking), "creating a stream"))
    return false;
  context->workspace_bytes = kWorkspaceBytes;
  if (!succeeded(context, cudaMalloc(reinterpret_cast<void**>(&context->workspace), kWorkspaceBytes),
                 "allocating the workspace")) {
    return false;
  }
  context->counter_count = kCounters;
  const uint64_t counter_bytes = kCounters * sizeof(int32_t);
  if (!succeeded(context, cudaMalloc(reinterpret_cast<void**>(&context->counters), counter_bytes),
                 "allocating counters") ||
      !succeeded(context, cudaMemsetAsync(context->counters, 0, counter_bytes, context->stream), "clearing counters")) {
    return false;
  }
  context->copies = new Copies();
  context->runs = new Runs(context);
  return context->copies->open(context) && computes(context);
}

}  // namespace

int32_t count_devices(char* why, uint64_t room) {
  if (!driver_serves(why, room)) return -1;
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code == cudaSuccess && count > 0) return count;
  cudaGetLastError();
  if (code == cudaSuccess || code == cudaErrorNoDevice) {
    std::snprintf(why, room, "the NVIDIA driver finds no GPU");
    return 0;
  }
  std::snprintf(why, room, "the NVIDIA driver cannot be asked for its GPUs: %s (%s)", cudaGetErrorString(code),
                cudaGetErrorName(code));
  return -1;
}

bool describe_device(int32_t index, char* text, uint64_t room) {
  cudaDeviceProp properties;
  int driver = 0;
  const cudaError_t code = cudaGetDeviceProperties(&properties, index);
  if (code != cudaSuccess || cudaDriverGetVersion(&driver) != cudaSuccess) {
    cudaGetLastError();
    std::snprintf(text, room, "the device cannot be described: %s", cudaGetErrorName(code));
    return false;
  }
  char version[16];
  version_text(driver, version, sizeof version);
  const int32_t capability = capability_of(index);
  const bool serves = capability >= kMinimumCapability;
  std::snprintf(text, room, "%s, %.1f GiB, compute capability %d.%d%s, driver for CUDA %s", properties.name,
                static_cast<double>(properties.totalGlobalMem) / (1 << 30), capability / 10, capability % 10,
                serves ? "" : " (8.0 is needed)", version);
  return serves;
}

Context* open_device(int32_t index, char* why, uint64_t room) {
  const int32_t count = count_devices(why, room);
  if (count <= 0) return nullptr;
  if (index < 0 || index >= count) {
    std::snprintf(why, room, "there is no device %d: the NVIDIA driver finds %d", index, count);
    return nullptr;
  }
  const int32_t capability = capability_of(index);
  if (capability < kMinimumCapability) {
    std::snprintf(why, room, "device %d has compute capability %d.%d, but 8.0 is needed", index, capability / 10,
                  capability % 10);
    return nullptr;
  }
  Context* context = new Context();
  context->device = index;
  context->multiprocessors = attribute(index, cudaDevAttrMultiProcessorCount);
  context->shared_bytes = attribute(index, cudaDevAttrMaxSharedMemoryPerBlockOptin);
  if (prepare(context)) return context;
  std::snprintf(why, room, "%s", context->failure);
  close_device(context);
  return nullptr;
}

void close_device(Context* context) {
  if (cudaSetDevice(context->device) == cudaSuccess && context->stream != nullptr)
    cudaStreamSynchronize(context->stream);
  delete context->runs;
  delete context->copies;
  close_library_product(context);
  if (context->workspace != nullptr) cudaFree(context->workspace);
  if (context->counters != nullptr) cudaFree(context->counters);
  if (context->stream != nullptr) cudaStreamDestroy(context->stream);
  cudaGetLastError();
  delete context;
}

}  // namespace redllm::cuda

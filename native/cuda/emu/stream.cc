#include "cuda/emu/stream.h"

#include <chrono>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cuda/emu/memory.h"

using namespace redllm::cuda::emu;

typedef std::function<cudaError_t()> Work;

struct CUgraph_st {
  std::vector<Work> works;
};
struct CUgraphExec_st {
  std::vector<Work> works;
};
struct CUstream_st {
  std::unique_ptr<CUgraph_st> graph;  // while it is captured
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id capturer;
  bool invalid = false;
};
struct CUevent_st {
  bool recorded = false;
  bool captured = false;
  std::chrono::steady_clock::time_point time;
};

namespace {

std::recursive_mutex mutex;
std::vector<CUstream_st*> captured;  // streams
std::string first_failure;           // of a launch
cudaError_t sticky = cudaSuccess;
thread_local cudaError_t last = cudaSuccess;

cudaError_t noted(cudaError_t code) {
  if (code != cudaSuccess && code != cudaErrorNotReady) last = code;
  return code;
}

// Runs the work, or records it. Nothing runs on a device that has failed.
cudaError_t submit(cudaStream_t stream, Work work) {
  std::lock_guard lock(mutex);
  if (sticky != cudaSuccess) return noted(sticky);
  if (stream == nullptr || stream->graph == nullptr) return noted(work());
  if (stream->invalid) return noted(cudaErrorStreamCaptureInvalidated);
  stream->graph->works.push_back(std::move(work));
  return cudaSuccess;
}

// What a capture forbids: it fails, and the captures with it.
cudaError_t allowed() {
  std::lock_guard lock(mutex);
  if (sticky != cudaSuccess) return noted(sticky);
  bool forbidden = false;
  for (CUstream_st* stream : captured) {
    if (stream->mode == cudaStreamCaptureModeRelaxed) continue;
    if (stream->mode == cudaStreamCaptureModeThreadLocal && stream->capturer != std::this_thread::get_id()) continue;
    stream->invalid = forbidden = true;
  }
  return forbidden ? noted(cudaErrorStreamCaptureUnsupported) : cudaSuccess;
}

cudaError_t synchronized(CUstream_st* stream) {
  std::lock_guard lock(mutex);
  if (stream != nullptr && stream->graph != nullptr) {
    stream->invalid = true;
    return noted(cudaErrorStreamCaptureUnsupported);
  }
  return noted(sticky);
}

// Host pointers must be the host's, device pointers the device's, for all their bytes.
bool fits(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (kind == cudaMemcpyDefault) {
    return (device_sees(to, bytes) || host_sees(to, bytes)) && (device_sees(from, bytes) || host_sees(from, bytes));
  }
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  return (to_device ? device_sees(to, bytes) : host_sees(to, bytes)) &&
         (from_device ? device_sees(from, bytes) : host_sees(from, bytes));
}

}  // namespace

namespace redllm::cuda::emu {

cudaError_t launch(cudaStream_t stream, const Launch& launch, size_t params_bytes) {
  const char* bytes = static_cast<const char*>(launch.params);
  const auto run_it = [launch, params = std::vector<char>(bytes, bytes + params_bytes)]() {
    Launch mine = launch;
    mine.params = params.data();
    const char* wrong = run(mine);
    const std::string name = std::string("kernel ") + launch.name + ": ";
    if (wrong != nullptr) {
      first_failure = wrong;
    } else {
      wrong = overwritten();
      if (wrong == nullptr) return cudaSuccess;
      first_failure = name + wrong;
    }
    std::fprintf(stderr, "CUDA emulator: %s\n", first_failure.c_str());
    sticky = cudaErrorLaunchFailure;
    return sticky;
  };
  return submit(stream, run_it);
}

const char* failure() {
  std::lock_guard lock(mutex);
  return first_failure.c_str();
}

}  // namespace redllm::cuda::emu

// ---- errors -------------------------------------------------------------------------------------------------------------

const char* cudaGetErrorString(cudaError_t code) {
  switch (code) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
    case cudaErrorIllegalState:
      return "the operation cannot be performed in the present state";
    case cudaErrorNotReady:
      return "device not ready";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    case cudaErrorLaunchFailure:
      return *failure() != 0 ? failure() : "unspecified launch failure";
    case cudaErrorNotSupported:
      return "operation not supported";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
      return "operation failed due to a previous error during capture";
  }
  return "unrecognized error code";
}

const char* cudaGetErrorName(cudaError_t code) {
  return code == cudaSuccess ? "cudaSuccess" : "cudaError";
}

cudaError_t cudaGetLastError() {
  std::lock_guard lock(mutex);
  if (sticky != cudaSuccess) return sticky;
  const cudaError_t code = last;
  last = cudaSuccess;
  return code;
}

cudaError_t cudaPeekAtLastError() {
  std::lock_guard lock(mutex);
  return sticky != cudaSuccess ? sticky : last;
}

// ---- devices ------------------------------------------------------------------------------------------------------------

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  return device == 0 ? cudaSuccess : noted(cudaErrorInvalidDevice);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device != 0) return noted(cudaErrorInvalidDevice);
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "redllm emulator");
  properties->totalGlobalMem = capacity();
  properties->sharedMemPerBlock = 48 << 10;
  properties->sharedMemPerBlockOptin = kMaxShared;
  properties->sharedMemPerMultiprocessor = kMaxShared + (1 << 10);
  properties->regsPerBlock = 65536;
  properties->warpSize = kLanes;
  properties->maxThreadsPerBlock = kMaxThreads;
  properties->major = 9;
  properties->minor = 0;
  properties->multiProcessorCount = 4;
  properties->l2CacheSize = 1 << 20;
  properties->managedMemory = properties->concurrentManagedAccess = properties->unifiedAddressing = 1;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp properties;
  const cudaError_t code = cudaGetDeviceProperties(&properties, device);
  if (code != cudaSuccess) return code;
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = properties.maxThreadsPerBlock;
      return cudaSuccess;
    case cudaDevAttrWarpSize:
      *value = properties.warpSize;
      return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
      *value = properties.multiProcessorCount;
      return cudaSuccess;
    case cudaDevAttrL2CacheSize:
      *value = properties.l2CacheSize;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(properties.sharedMemPerBlock);
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = properties.major;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = properties.minor;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = static_cast<int>(properties.sharedMemPerMultiprocessor);
      return cudaSuccess;
    case cudaDevAttrManagedMemory:
    case cudaDevAttrConcurrentManagedAccess:
      *value = 1;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(properties.sharedMemPerBlockOptin);
      return cudaSuccess;
  }
  return noted(cudaErrorInvalidValue);
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  return allowed();
}

cudaError_t cudaDeviceReset() {
  std::lock_guard lock(mutex);
  sticky = last = cudaSuccess;
  first_failure.clear();
  return cudaSuccess;
}

// ---- memory -------------------------------------------------------------------------------------------------------------

cudaError_t cudaMalloc(void** data, size_t bytes) {
  const cudaError_t code = allowed();
  return code != cudaSuccess ? code : noted(allocate(Memory::device, data, bytes));
}

cudaError_t cudaMallocManaged(void** data, size_t bytes, unsigned) {
  const cudaError_t code = allowed();
  return code != cudaSuccess ? code : noted(allocate(Memory::managed, data, bytes));
}

cudaError_t cudaFree(void* data) {
  const cudaError_t code = allowed();
  return code != cudaSuccess ? code : noted(release(data, false));
}

cudaError_t cudaMallocHost(void** data, size_t bytes) {
  const cudaError_t code = allowed();
  return code != cudaSuccess ? code : noted(allocate(Memory::pinned, data, bytes));
}

cudaError_t cudaHostAlloc(void** data, size_t bytes, unsigned) {
  return cudaMallocHost(data, bytes);
}

cudaError_t cudaFreeHost(void* data) {
  const cudaError_t code = allowed();
  return code != cudaSuccess ? code : noted(release(data, true));
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = capacity();
  *free = *total - in_use();
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* data) {
  Memory kind;
  void* address = const_cast<void*>(data);
  *attributes = {cudaMemoryTypeUnregistered, 0, nullptr, address};
  if (!find(data, &kind)) return cudaSuccess;
  attributes->type = kind == Memory::pinned    ? cudaMemoryTypeHost
                     : kind == Memory::managed ? cudaMemoryTypeManaged
                                               : cudaMemoryTypeDevice;
  attributes->devicePointer = address;
  if (kind == Memory::device) attributes->hostPointer = nullptr;
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const cudaError_t code = allowed();
  return code != cudaSuccess ? code : cudaMemcpyAsync(to, from, bytes, kind, nullptr);
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  if (!fits(to, from, bytes, kind)) return noted(cudaErrorInvalidValue);
  return submit(stream, [=] {
    std::memmove(to, from, bytes);
    return cudaSuccess;
  });
}

cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  const cudaError_t code = allowed();
  return code != cudaSuccess ? code : cudaMemsetAsync(to, value, bytes, nullptr);
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  if (!device_sees(to, bytes)) return noted(cudaErrorInvalidValue);
  return submit(stream, [=] {
    std::memset(to, value, bytes);
    return cudaSuccess;
  });
}

// ---- streams ------------------------------------------------------------------------------------------------------------

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  *stream = new CUstream_st();
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  return cudaStreamCreate(stream);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  std::lock_guard lock(mutex);
  std::erase(captured, stream);
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return synchronized(stream);
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return synchronized(stream);
}

// A stream that is captured may wait for events of its own capture only.
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const bool capturing = stream != nullptr && stream->graph != nullptr;
  if (capturing != event->captured) return noted(cudaErrorNotSupported);
  return cudaSuccess;
}

// ---- events -------------------------------------------------------------------------------------------------------------

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  *event = new CUevent_st();
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return cudaEventCreate(event);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  std::lock_guard lock(mutex);
  event->captured = stream != nullptr && stream->graph != nullptr;
  event->recorded = true;
  event->time = std::chrono::steady_clock::now();
  return noted(sticky);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  std::lock_guard lock(mutex);
  return noted(event->captured ? cudaErrorStreamCaptureUnsupported : sticky);
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return cudaEventSynchronize(event);
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  if (!start->recorded || !end->recorded) return noted(cudaErrorInvalidResourceHandle);
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
  return cudaSuccess;
}

// ---- graphs -------------------------------------------------------------------------------------------------------------

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  std::lock_guard lock(mutex);
  if (sticky != cudaSuccess) return noted(sticky);
  if (stream == nullptr) return noted(cudaErrorStreamCaptureUnsupported);
  if (stream->graph != nullptr) return noted(cudaErrorIllegalState);
  stream->graph = std::make_unique<CUgraph_st>();
  stream->mode = mode;
  stream->capturer = std::this_thread::get_id();
  stream->invalid = false;
  captured.push_back(stream);
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  std::lock_guard lock(mutex);
  *graph = nullptr;
  if (stream == nullptr || stream->graph == nullptr) return noted(cudaErrorIllegalState);
  std::erase(captured, stream);
  std::unique_ptr<CUgraph_st> recorded = std::move(stream->graph);
  if (stream->invalid) return noted(cudaErrorStreamCaptureInvalidated);
  *graph = recorded.release();
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  std::lock_guard lock(mutex);
  *status = stream == nullptr || stream->graph == nullptr ? cudaStreamCaptureStatusNone
            : stream->invalid                             ? cudaStreamCaptureStatusInvalidated
                                                          : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new CUgraphExec_st{graph->works};
  return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) {
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  for (const Work& work : executable->works) {
    const cudaError_t code = submit(stream, work);
    if (code != cudaSuccess) return code;
  }
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}

// Capture of streams, and graphs: the recorded work, in order.
#include "cuda/emu/status.h"
#include "cuda/emu/stream.h"

using namespace redllm::cuda::emu;

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  std::lock_guard lock(device_mutex());
  if (lasting() != cudaSuccess) return noted(lasting());
  if (stream == nullptr) return noted(cudaErrorStreamCaptureUnsupported);
  if (stream->graph != nullptr) return noted(cudaErrorIllegalState);
  stream->graph = std::make_unique<CUgraph_st>();
  stream->mode = mode;
  stream->capturer = std::this_thread::get_id();
  stream->invalid = false;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  std::lock_guard lock(device_mutex());
  *graph = nullptr;
  if (stream == nullptr || stream->graph == nullptr) return noted(cudaErrorIllegalState);
  std::unique_ptr<CUgraph_st> recorded = std::move(stream->graph);
  if (stream->invalid) return noted(cudaErrorStreamCaptureInvalidated);
  *graph = recorded.release();
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  std::lock_guard lock(device_mutex());
  *status = stream == nullptr || stream->graph == nullptr ? cudaStreamCaptureStatusNone
            : stream->invalid                             ? cudaStreamCaptureStatusInvalidated
                                                          : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = nullptr;
  if (graph == nullptr) return noted(cudaErrorInvalidValue);
  *executable = new CUgraphExec_st{graph->works};
  return cudaSuccess;
}

// The stream takes the works over, so that the executable may be destroyed before they have run.
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  for (const Work& work : executable->works) {
    const cudaError_t code = submit(stream, work);
    if (code != cudaSuccess) return code;
  }
  return noted(lasting());
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}

// Streams and their work: launches, copies and fills, run at once, later, or recorded into a graph.
//
// A device takes its time; so may the emulated one: where it is deferred (set_deferred(), environment variable REDLLM_EMU_DEFER=1),
// work waits in its stream until something waits for it, and whoever reads a result or writes over a source too early is found out.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "cuda/emu/block.h"
#include "cuda/emu/cuda_runtime.h"

namespace redllm::cuda::emu {

typedef std::function<cudaError_t()> Work;

// Work in its order. An event is a count of `submitted`.
struct Queue {
  std::deque<Work> works;
  uint64_t submitted = 0;
  uint64_t done = 0;
};

}  // namespace redllm::cuda::emu

struct CUgraph_st {
  std::vector<redllm::cuda::emu::Work> works;
};
struct CUgraphExec_st {
  std::vector<redllm::cuda::emu::Work> works;
};
struct CUstream_st {
  std::shared_ptr<redllm::cuda::emu::Queue> queue = std::make_shared<redllm::cuda::emu::Queue>();
  bool blocking = true;               // waits for the default stream, which waits for it
  std::unique_ptr<CUgraph_st> graph;  // while it is captured
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id capturer;
  bool invalid = false;  // the capture
};

#pragma GCC visibility push(hidden)

namespace redllm::cuda::emu {

// Runs, queues or records the work. The default stream is never deferred: it runs what the others owe it, then its own.
cudaError_t submit(cudaStream_t, Work);
// Runs the queue until `done` reaches the count.
cudaError_t run_until(Queue&, uint64_t count);
// Runs all that was submitted; of streams that do not wait for the default stream, only where `all`.
cudaError_t run_everything(bool all);
// cudaSuccess, or why a call may not be made now: the device has failed, or a capture forbids it and is thereby lost.
cudaError_t allowed();
cudaError_t launch(cudaStream_t, const Launch&, size_t params_bytes);
void set_deferred(bool);

}  // namespace redllm::cuda::emu

#pragma GCC visibility pop

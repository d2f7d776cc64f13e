// The emulator's streams where they run late, and graphs captured from them.
#include "cuda/emu/status.h"
#include "cuda/emu/stream.h"
#include "emulator_case.h"

using namespace redllm;
using namespace redllm::cuda;
using namespace redllm::test;

namespace {

struct Leave {
  uint32_t warp;  // the one that does not come to the barrier
};

__global__ void leave(Leave p) {
  await_earlier_launches();
  if (threadIdx.x / 32 == p.warp) return;
  sync_block();
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
  launch(context, "leave", leave, dim3(1), 64, 0, Leave{1});
  CHECK(context->failure[0] == 0 && cudaStreamSynchronize(stream) == cudaErrorLaunchFailure);
  CHECK(std::strstr(cudaGetErrorString(cudaErrorLaunchFailure), "left the kernel") != nullptr);
  emu::quiet = false;
  cudaDeviceReset();

  emu::set_deferred(false);
  context->stream = nullptr;
  CHECK(cudaFreeHost(pinned) == cudaSuccess && cudaEventDestroy(event) == cudaSuccess);
  CHECK(cudaStreamDestroy(stream) == cudaSuccess && cudaStreamDestroy(other) == cudaSuccess);
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

}  // namespace

int main() {
  Context context = {};
  test_deferred(&context);
  test_graphs(&context);
  CHECK(context.failure[0] == 0);
  return report();
}

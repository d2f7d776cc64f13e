#include "cuda/emu/stream.h"

#include <cstdio>
#include <cstdlib>
#include <string>

#include "cuda/emu/memory.h"
#include "cuda/emu/status.h"

struct CUevent_st {
  std::shared_ptr<redllm::cuda::emu::Queue> queue;  // null: never recorded, or on a stream that defers nothing
  uint64_t count = 0;
  bool captured = false;
};

namespace redllm::cuda::emu {

namespace {

std::vector<CUstream_st*>& streams() {
  static auto* all = new std::vector<CUstream_st*>();
  return *all;
}

bool default_deferred() {
  const char* text = std::getenv("REDLLM_EMU_DEFER");
  return text != nullptr && *text == '1';
}

bool deferred = default_deferred();

cudaError_t waited(cudaError_t code) {
  see_launches();
  return noted(code);
}

bool capturing(cudaStream_t stream) {
  return stream != nullptr && stream->graph != nullptr;
}

// One piece of work. Nothing runs on a device that has failed.
cudaError_t run_one(Queue& queue) {
  const DeviceAccess access;
  const Work work = std::move(queue.works.front());
  queue.works.pop_front();
  const cudaError_t code = lasting() == cudaSuccess ? work() : lasting();
  ++queue.done;
  return code;
}

}  // namespace

cudaError_t run_until(Queue& queue, uint64_t count) {
  std::lock_guard lock(device_mutex());
  if (queue.done >= count || queue.works.empty()) return lasting();
  const DeviceAccess access;
  while (queue.done < count && !queue.works.empty()) run_one(queue);
  return lasting();
}

cudaError_t run_everything(bool all) {
  std::lock_guard lock(device_mutex());
  for (CUstream_st* stream : streams())
    if (all || stream->blocking) run_until(*stream->queue, stream->queue->submitted);
  return lasting();
}

cudaError_t submit(cudaStream_t stream, Work work) {
  std::lock_guard lock(device_mutex());
  if (lasting() != cudaSuccess) return noted(lasting());
  if (capturing(stream)) {
    if (stream->invalid) return noted(cudaErrorStreamCaptureInvalidated);
    stream->graph->works.push_back(std::move(work));
    return cudaSuccess;
  }
  if (stream == nullptr) {
    const cudaError_t code = run_everything(false);
    const DeviceAccess access;
    return noted(code != cudaSuccess ? code : work());
  }
  Queue& queue = *stream->queue;
  queue.works.push_back(std::move(work));
  ++queue.submitted;
  return deferred ? cudaSuccess : noted(run_until(queue, queue.submitted));
}

cudaError_t allowed() {
  std::lock_guard lock(device_mutex());
  if (lasting() != cudaSuccess) return noted(lasting());
  bool forbidden = false;
  for (CUstream_st* stream : streams()) {
    if (!capturing(stream) || stream->mode == cudaStreamCaptureModeRelaxed) continue;
    if (stream->mode == cudaStreamCaptureModeThreadLocal && stream->capturer != std::this_thread::get_id()) continue;
    stream->invalid = forbidden = true;
  }
  return forbidden ? noted(cudaErrorStreamCaptureUnsupported) : cudaSuccess;
}

cudaError_t launch(cudaStream_t stream, const Launch& launch, size_t params_bytes) {
  const char* bytes = static_cast<const char*>(launch.params);
  if (const void* pointer = foreign_pointer(bytes, params_bytes)) {
    char text[300];
    std::snprintf(text, sizeof text, "kernel %s: its parameters have the address %p, which is the host's", launch.name,
                  pointer);
    return noted(fail_device(text));
  }
  return submit(stream, [launch, params = std::vector<char>(bytes, bytes + params_bytes)] {
    Launch mine = launch;
    mine.params = params.data();
    const char* wrong = run(mine);
    if (wrong != nullptr) return fail_device(wrong);
    wrong = overwritten();
    return wrong == nullptr ? cudaSuccess : fail_device((std::string("kernel ") + launch.name + ": " + wrong).c_str());
  });
}

void set_deferred(bool on) {
  std::lock_guard lock(device_mutex());
  run_everything(true);
  deferred = on;
}

}  // namespace redllm::cuda::emu

using namespace redllm::cuda::emu;

// ---- streams ------------------------------------------------------------------------------------------------------------

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  std::lock_guard lock(device_mutex());
  *stream = new CUstream_st();
  (*stream)->blocking = (flags & cudaStreamNonBlocking) == 0;
  streams().push_back(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  std::lock_guard lock(device_mutex());
  run_until(*stream->queue, stream->queue->submitted);
  std::erase(streams(), stream);
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  std::lock_guard lock(device_mutex());
  if (stream == nullptr) return waited(run_everything(false));
  if (capturing(stream)) {
    stream->invalid = true;
    return noted(cudaErrorStreamCaptureUnsupported);
  }
  return waited(run_until(*stream->queue, stream->queue->submitted));
}

// A stream that is captured may wait for its own events only: forks are not emulated.
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  std::lock_guard lock(device_mutex());
  if (capturing(stream) || event->captured)
    return noted(capturing(stream) && event->captured ? cudaSuccess : cudaErrorNotSupported);
  if (event->queue == nullptr) return noted(lasting());
  return submit(stream, [queue = event->queue, count = event->count] { return run_until(*queue, count); });
}

// ---- events -------------------------------------------------------------------------------------------------------------

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st();
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  std::lock_guard lock(device_mutex());
  event->captured = capturing(stream);
  event->queue = stream == nullptr || event->captured ? nullptr : stream->queue;
  event->count = event->queue == nullptr ? 0 : event->queue->submitted;
  return noted(lasting());
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  std::lock_guard lock(device_mutex());
  if (event->captured) return noted(cudaErrorStreamCaptureUnsupported);
  return waited(event->queue == nullptr ? lasting() : run_until(*event->queue, event->count));
}

// A question lets one piece of work run, so that whoever asks again and again comes to an end.
cudaError_t cudaEventQuery(cudaEvent_t event) {
  std::lock_guard lock(device_mutex());
  if (event->captured || event->queue == nullptr || event->queue->done >= event->count)
    return cudaEventSynchronize(event);
  run_one(*event->queue);
  return noted(lasting() != cudaSuccess ? lasting() : cudaErrorNotReady);
}

cudaError_t cudaDeviceSynchronize() {
  const cudaError_t code = allowed();
  return code != cudaSuccess ? code : waited(run_everything(true));
}

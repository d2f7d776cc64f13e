#include "cuda/runs.cuh"

#include "cuda/backend.cuh"

namespace redllm::cuda {

Runs::~Runs() {
  for (auto& [key, run] : runs_) free_graph(run);
}

bool Runs::begin(uint64_t owner, uint64_t key) {
  auto [found, added] = runs_.try_emplace({owner, key});
  Run& run = found->second;
  run.used = ++clock_;
  if (added) {
    if (runs_.size() > kEntries) forget_least_used(false);
    return false;
  }
  if (run.state == State::recorded) {
    play(run);
    return true;
  }
  if (run.state == State::unrecordable) return false;
  if (cudaStreamBeginCapture(context_->stream, cudaStreamCaptureModeRelaxed) != cudaSuccess) {
    cudaGetLastError();
    run.state = State::unrecordable;
    return false;
  }
  recording_ = &run;
  spoilt_ = false;
  return false;
}

bool Runs::end() {
  if (recording_ == nullptr) return true;
  Run& run = *recording_;
  run.graph = finish_recording();
  recording_ = nullptr;
  if (run.graph == nullptr) {
    run.state = State::unrecordable;
    return false;
  }
  run.state = State::recorded;
  if (++graphs_ > kGraphs) forget_least_used(true);
  play(run);
  return true;
}

// A graph that failed to start has failed like an op, for good.
void Runs::play(Run& run) {
  succeeded(context_, cudaGraphLaunch(run.graph, context_->stream), "replaying a step");
}

cudaGraphExec_t Runs::finish_recording() {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  bool good = cudaStreamEndCapture(context_->stream, &graph) == cudaSuccess && graph != nullptr && !spoilt_;
  good = good && cudaGraphInstantiate(&executable, graph, 0) == cudaSuccess;
  if (graph != nullptr) cudaGraphDestroy(graph);
  if (!good) cudaGetLastError();
  return good ? executable : nullptr;
}

// One that is under way is freed when it is done.
void Runs::free_graph(Run& run) {
  if (run.graph == nullptr) return;
  cudaGraphExecDestroy(run.graph);
  run.graph = nullptr;
  --graphs_;
}

// The least recently used graph goes, and its run is as one seen once; or the least recently used entry of all.
void Runs::forget_least_used(bool recorded) {
  auto least = runs_.end();
  for (auto at = runs_.begin(); at != runs_.end(); ++at)
    if ((!recorded || at->second.graph != nullptr) && (least == runs_.end() || at->second.used < least->second.used))
      least = at;
  if (least == runs_.end()) return;
  free_graph(least->second);
  least->second.state = State::seen;
  if (!recorded) runs_.erase(least);
}

void Runs::drop(uint64_t owner) {
  for (auto at = runs_.lower_bound({owner, 0}); at != runs_.end() && at->first.first == owner;) {
    free_graph(at->second);
    at = runs_.erase(at);
  }
}

// ---- as the table has them ----------------------------------------------------------------------------------------------

bool begin_run(Context* context, uint64_t owner, uint64_t key) {
  return make_current(context) && context->runs->begin(owner, key);
}

bool end_run(Context* context) {
  return context->runs->end();
}

void drop_runs(Context* context, uint64_t owner) {
  if (make_current(context)) context->runs->drop(owner);
}

}  // namespace redllm::cuda

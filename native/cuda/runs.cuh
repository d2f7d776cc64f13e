// Runs of ops recorded as CUDA graphs, so that a decode step is one launch.
//
// The first time a run is seen it just runs: kernels are loaded when they are first launched, which must not happen while a stream is
// recorded. The second time it is recorded and played, from then on played. What cannot be recorded just runs for good.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <map>
#include <utility>

#include "cuda/context.cuh"

namespace redllm::cuda {

class Runs {
 public:
  explicit Runs(Context* context) : context_(context) {}
  ~Runs();

  // True where the run was played; else the caller calls its ops, then end().
  bool begin(uint64_t owner, uint64_t key);
  // False where the ops were only recorded, in vain: they are to be called once more, which then just runs them.
  bool end();
  void drop(uint64_t owner);

  bool recording() const { return recording_ != nullptr; }
  // Something failed, or cannot be part of a graph, while recording: that is no failure of the context.
  void spoil() { spoilt_ = true; }

 private:
  enum class State { seen, recorded, unrecordable };
  struct Run {
    State state = State::seen;
    cudaGraphExec_t graph = nullptr;
    uint64_t used = 0;
  };
  using Key = std::pair<uint64_t, uint64_t>;

  void play(Run& run);
  cudaGraphExec_t finish_recording();
  void free_graph(Run& run);
  void forget_least_used(bool recorded);

  // Graphs hold device memory, a few hundred KB each; the other entries are small.
  static constexpr int32_t kGraphs = 128;
  static constexpr size_t kEntries = 1024;

  Context* context_;
  std::map<Key, Run> runs_;
  Run* recording_ = nullptr;
  bool spoilt_ = false;
  int32_t graphs_ = 0;
  uint64_t clock_ = 0;
};

}  // namespace redllm::cuda

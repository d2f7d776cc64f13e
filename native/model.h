// A loaded model: its spec, weights and transformer, on one backend.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend_interface.h"
#include "pages.h"
#include "spec.h"
#include "transformer.h"
#include "weights.h"

namespace redllm {

// What a model takes, known without its weights (src/native.ts, ModelFootprint).
struct Footprint {
  uint64_t weight_bytes = 0;
  uint64_t page_bytes = 0;
  std::vector<PageGroup> groups;
};

Footprint footprint(const ModelSpec& spec, DType compute, Backend& backend);

class Model {
 public:
  // Throws std::bad_alloc, or std::runtime_error where the spec asks for what is not served.
  Model(std::shared_ptr<Backend> backend, ModelSpec spec, DType compute, WeightSource source, const StepLimits& limits);

  // launch and collect may be called once weights().done().
  Weights& weights() { return weights_; }
  Transformer& transformer() { return transformer_; }
  Backend& backend() { return *backend_; }

 private:
  std::shared_ptr<Backend> backend_;
  const ModelSpec spec_;
  Weights weights_;
  Transformer transformer_;
};

}  // namespace redllm

#include "model.h"

#include <utility>

namespace redllm {

Footprint footprint(const ModelSpec& spec, DType compute, Backend& backend) {
  Weights weights(spec, compute, backend.ops(), backend.context(), {}, true);
  PageLayout layout = lay_out_pages(spec, compute);
  return {weights.packed_bytes(), layout.page_bytes(backend.ops()), layout.groups};
}

Model::Model(std::shared_ptr<Backend> backend, ModelSpec spec, DType compute, WeightSource source,
             const StepLimits& limits)
    : backend_(std::move(backend)),
      spec_(std::move(spec)),
      weights_(spec_, compute, backend_->ops(), backend_->context(), std::move(source)),
      transformer_(spec_, weights_, compute, backend_->ops(), backend_->context(), limits) {}

}  // namespace redllm

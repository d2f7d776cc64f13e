// Where the decoder's attention looks, layer by layer, while somebody wants to know. Off, it costs a comparison a layer.
#pragma once

#include <cstdint>
#include <optional>

#include "arena.h"
#include "ops.h"
#include "plan.h"
#include "spec.h"

namespace redllm {

struct ProbeBins {
  int32_t recent;  // keys up to the query's own that self-attention's middle bin holds (KeyBins::recent)
  int32_t parts;   // of the source's keys, in cross-attention (KeyBins::equal)
};

class Probe {
 public:
  // Of the last launch: f32 [layers][tokens][heads][bins], as it stands in the backend's memory.
  struct Masses {
    float* data = nullptr;
    uint64_t capacity = 0, count = 0;
  };

  Probe(const ModelSpec& spec, const Ops& ops, Context* context, const StepLimits& limits);

  // Takes the memory that steps need. Nothing: off. Throws std::bad_alloc.
  void set(std::optional<ProbeBins> bins);
  bool on() const { return bins_.has_value(); }

  void begin() { self_.count = cross_.count = 0; }
  // Called for the tokens of a layer's attention in their order, and for layers in theirs.
  void look(const AttentionArgs& attention, bool self);

  const Masses& self() const { return self_; }
  const Masses& cross() const { return cross_; }

 private:
  void reserve(Masses& masses, uint64_t capacity);

  const Ops& ops_;
  Context* const context_;
  Arena arena_;
  uint64_t self_heads_ = 0, cross_heads_ = 0;  // over all tokens of a step and all layers
  std::optional<ProbeBins> bins_;
  Masses self_, cross_;
};

}  // namespace redllm

#include "probe.h"

namespace redllm {
namespace {

constexpr int32_t kRecentBins = 3;

}  // namespace

Probe::Probe(const ModelSpec& spec, const Ops& ops, Context* context, const StepLimits& limits)
    : ops_(ops), context_(context), arena_(ops, context) {
  const uint64_t tokens = static_cast<uint64_t>(limits.tokens);
  for (const LayerSpec& layer : spec.decoder.layers) {
    self_heads_ += tokens * static_cast<uint64_t>(layer.self.block.heads);
    if (layer.cross) cross_heads_ += tokens * static_cast<uint64_t>(layer.cross->block.heads);
  }
}

void Probe::set(std::optional<ProbeBins> bins) {
  if (bins) {
    reserve(self_, self_heads_ * kRecentBins);
    reserve(cross_, cross_heads_ * static_cast<uint64_t>(bins->parts));
  }
  bins_ = bins;
  begin();
}

// Memory that was smaller stays until the end: bins are set once or twice.
void Probe::reserve(Masses& masses, uint64_t capacity) {
  if (capacity <= masses.capacity) return;
  masses.data = arena_.take_array<float>(capacity);
  masses.capacity = capacity;
}

void Probe::look(const AttentionArgs& attention, bool self) {
  Masses& masses = self ? self_ : cross_;
  AttentionMassArgs args{};
  args.attention = attention;
  args.kind = self ? KeyBins::recent : KeyBins::equal;
  args.back = bins_->recent - 1;
  args.bins = self ? kRecentBins : bins_->parts;
  args.mass = masses.data + masses.count;
  ops_.attention_mass(context_, args);
  masses.count += static_cast<uint64_t>(attention.q.rows) * attention.heads * args.bins;
}

}  // namespace redllm

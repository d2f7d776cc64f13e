// Attention at every head dimension there is, under every mask at once: each of a call's sequences has one.
#include "attention_case.h"

using namespace redllm;
using namespace redllm::test;

namespace {

AttentionCase every_mask(Backend& backend, Random& random, DType type, RowKind kind, int32_t head_dim) {
  const int32_t queries = 19, keys = 37;
  AttentionCase c;
  c.kind = kind;
  c.head_dim = head_dim;
  c.scale = 1 / std::sqrt(static_cast<float>(head_dim));
  CaseSegment& segment = c.segment[0];
  segment.type = type;
  for (const Mask mask : {Mask::all, Mask::causal, Mask::prefix, Mask::window, Mask::random, Mask::none}) {
    segment.keys.push_back(keys);
    segment.x.push_back(random.reals(static_cast<size_t>(keys) * 2 * head_dim));
    set_mask(segment, mask, keys, queries, random);
    c.query_start.push_back(c.query_start.back() + queries);
    for (int32_t t = 0; t < queries; ++t) c.query_index.push_back(keys - queries + t);
  }
  c.q = random.reals(static_cast<size_t>(c.tokens()) * head_dim, 4);
  lay_out(backend, c, segment, std::vector<int32_t>(segment.keys.size(), -1), random);
  return c;
}

}  // namespace

int main() {
  const auto backends = every_backend();
  for (size_t i = 0; i < backends.size(); i += 2) {
    Backend &backend = *backends[i], &twin = *backends[i + 1];
    begin(backend.ops().name);
    Random random(9);
    for (int32_t head_dim = 8; head_dim <= 256; head_dim += 8)
      for (const DType type : {DType::f32, DType::bf16})
        for (const RowKind kind : {RowKind::prefill, RowKind::decode}) {
          if (kind == RowKind::decode && !on_device(backend)) continue;  // the CPU does not tell them apart
          AttentionCase c = every_mask(backend, random, type, kind, head_dim);
          check_attention(backend, twin, c, random, false);
        }
  }
  return report();
}

// Attention calls at random, at the shapes where kernels break.
#pragma once

#include "attention_case.h"

namespace redllm::test {

// What a case is drawn from: several sequences of mixed lengths; few queries over many chunks of keys; many queries, of which several
// tiles see keys in several.
enum class AttentionProfile { mixed, long_keys, many_queries };

struct AttentionSizes {
  int32_t sequences = 4, queries = 50, keys = 60, long_keys = 400;
};

inline AttentionCase random_attention_case(Backend& backend, Random& random, AttentionSizes sizes) {
  const auto profile = static_cast<AttentionProfile>(std::max<int64_t>(0, random.integer(-1, 2)));
  if (profile == AttentionProfile::long_keys) sizes = {2, 3, 2600, 2600};
  if (profile == AttentionProfile::many_queries) sizes = {2, 300, 500, 500};
  AttentionCase c;
  c.kind = static_cast<RowKind>(random.integer(0, 1));
  if (profile == AttentionProfile::long_keys && random.integer(0, 3) > 0) c.kind = RowKind::decode;
  if (profile == AttentionProfile::many_queries && random.integer(0, 3) > 0) c.kind = RowKind::prefill;
  c.kv_heads = static_cast<int32_t>(random.integer(1, profile == AttentionProfile::mixed ? 2 : 1));
  c.shared = static_cast<int32_t>(coin(random) ? 1 : random.integer(1, emulated(backend) ? 3 : 5));
  if (random.integer(0, 15) == 0) c.kv_heads = 1, c.shared = 16;
  c.head_dim = any_head_dim(random);
  if (profile == AttentionProfile::many_queries && emulated(backend))
    c.shared = 1, c.head_dim = std::min(c.head_dim, 128);
  c.segments = random.integer(0, 2) == 0 ? 2 : 1;
  c.scale = 1 / std::sqrt(static_cast<float>(c.head_dim));
  c.softcap = random.integer(0, 2) == 0 ? 3.0f : 0;
  c.out = random.integer(0, 2) == 0 ? DType::bf16 : DType::f32;
  c.grouped = random.integer(0, 2) == 0;
  const bool long_keys = random.integer(0, 3) == 0;
  const int32_t sequences = static_cast<int32_t>(random.integer(1, sizes.sequences));
  std::vector<int32_t> same_as[2];
  for (CaseSegment& segment : c.segment) segment.type = any_type(random);
  if (on_device(backend)) c.segment[1].type = c.segment[0].type;
  for (int32_t i = 0; i < sequences; ++i) {
    const bool many = profile == AttentionProfile::many_queries;
    const int32_t most = !many && coin(random) ? 1 : c.head_dim > 100 ? (sizes.queries + 1) / 2 : sizes.queries;
    const int32_t queries = edge_size(random, many ? std::min(most, 20) : random.integer(0, 3) == 0 ? 0 : 1, most);
    const bool follows = i > 0 && coin(random);
    c.group.push_back(follows && c.group.back() >= 0 ? c.group.back() : coin(random) ? i : -1);
    const bool twin = i > 0 && c.group[i] >= 0 && c.group[i] == c.group[i - 1];
    const bool longest = profile == AttentionProfile::long_keys;
    const int32_t least_keys = longest && random.integer(0, 3) > 0 ? 200 : 0;
    for (int32_t s = 0; s < c.segments; ++s) {
      CaseSegment& segment = c.segment[s];
      const int64_t width = int64_t{2} * c.kv_heads * c.head_dim;
      same_as[s].push_back(twin && s == 0 ? i - 1 : -1);
      const int32_t keys =
          twin && s == 0 ? segment.keys.back()
          : longest && random.integer(0, 3) == 0
              ? static_cast<int32_t>(random.integer(2000, 5500))
              : std::max(queries, edge_size(random, least_keys, long_keys ? sizes.long_keys : sizes.keys));
      segment.keys.push_back(keys);
      segment.x.push_back(twin && s == 0 ? segment.x.back() : random.reals(static_cast<size_t>(keys * width)));
      set_mask(segment, static_cast<Mask>(random.integer(0, 5)), keys, queries, random);
    }
    c.query_start.push_back(c.query_start.back() + queries);
    for (int32_t t = 0; t < queries; ++t) c.query_index.push_back(c.segment[0].keys.back() - queries + t);
  }
  if (random.integer(0, 3) == 0)  // anywhere
    for (int32_t& index : c.query_index) index = static_cast<int32_t>(random.integer(0, 400));
  c.q = random.reals(static_cast<size_t>(c.tokens()) * c.heads() * c.head_dim, 4);
  if (coin(random)) {
    c.reach = static_cast<int32_t>(random.integer(0, 2) == 0 ? random.integer(0, 9) : random.integer(10, 200));
    c.bias = random.reals(static_cast<size_t>(c.heads()) * (2 * c.reach + 1), 2);
  }
  if (coin(random)) c.gain = random.reals(c.head_dim);
  c.normed = coin(random);
  // |q| <= 4 and |k| <= 1 an element; the soft-cap only lessens it. The bias comes on top.
  if (random.integer(0, 2) == 0)
    c.logit_bound = c.scale * 4 * static_cast<float>(c.head_dim) + (c.bias.empty() ? 0 : 2);
  for (int32_t s = 0; s < c.segments; ++s) lay_out(backend, c, c.segment[s], same_as[s], random);
  return c;
}

}  // namespace redllm::test

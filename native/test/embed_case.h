// Rows read back out of a packed table, and rows gathered from a matrix.
#pragma once

#include "matmul_data.h"

namespace redllm::test {

struct EmbedCase {
  DType type;
  int32_t vocabulary, width, count;
  bool positions, chosen;
};

inline EmbedCase random_embed_case(Random& random) {
  return {
      any_type(random), edge_size(random, 1, 400), edge_size(random, 1, 400), edge_size(random, 0, 70), coin(random),
      coin(random)};
}

inline void check_embed(Backend& backend, const EmbedCase& c, Random& random) {
  const Matrix table(random, c.type, c.vocabulary, c.width);
  const Packed packed(backend, table, false);
  const std::vector<float> positions = random.reals(size_t(9 * c.width));
  std::vector<int32_t> tokens, index, chosen, expected_tokens;
  for (int32_t i = 0; i < 5; ++i) chosen.push_back(static_cast<int32_t>(random.integer(0, c.vocabulary - 1)));
  for (int32_t i = 0; i < c.count; ++i) {
    tokens.push_back(static_cast<int32_t>(random.integer(c.chosen ? -5 : 0, c.vocabulary - 1)));
    expected_tokens.push_back(tokens.back() < 0 ? chosen[size_t(~tokens.back())] : tokens.back());
    index.push_back(static_cast<int32_t>(random.integer(0, 8)));
  }
  Output out(DType::f32, c.count, c.width);
  const float scale = 2.75f;
  backend.ops().embed(backend.context(),
                      {tokens.data(), c.chosen ? chosen.data() : nullptr, c.count, packed.weight, scale,
                       c.positions ? positions.data() : nullptr, c.positions ? index.data() : nullptr, out.tensor()});
  bool held = out.intact();
  for (int32_t i = 0; i < c.count; ++i)
    for (int32_t d = 0; d < c.width; ++d) {
      const float scaled = table.exact[size_t(expected_tokens[size_t(i)]) * size_t(c.width) + size_t(d)] * scale;
      const float position = c.positions ? positions[size_t(index[size_t(i)] * c.width + d)] : 0;
      // One rounding or two: a device may fuse the product and the sum.
      const float fused =
          std::fma(table.exact[size_t(expected_tokens[size_t(i)]) * size_t(c.width) + size_t(d)], scale, position);
      const float got = out.at(int64_t{i} * c.width + d);
      held = held && (got == (c.positions ? scaled + position : scaled) || (on_device(backend) && got == fused));
    }
  CHECK(held);
}

struct GatherCase {
  int32_t rows, width, count;
  bool in_order;  // without row numbers
  DType out;
};

inline GatherCase random_gather_case(Random& random) {
  return {edge_size(random, 1, 70), edge_size(random, 1, 520), edge_size(random, 0, 70), coin(random),
          any_type(random)};
}

inline void check_gather(Backend& backend, const GatherCase& c, Random& random) {
  auto from = random.reals(size_t(c.rows) * size_t(c.width));
  std::vector<int32_t> row;
  const int32_t count = c.in_order ? std::min(c.count, c.rows) : c.count;
  for (int32_t i = 0; i < count; ++i)
    row.push_back(c.in_order ? i : static_cast<int32_t>(random.integer(0, c.rows - 1)));
  Output out(c.out, count, c.width);
  backend.ops().gather(backend.context(),
                       {{from.data(), DType::f32, c.rows, c.width}, c.in_order ? nullptr : row.data(), out.tensor()});
  bool held = out.intact();
  for (int32_t i = 0; i < count; ++i)
    for (int32_t d = 0; d < c.width; ++d)
      held = held && out.at(int64_t{i} * c.width + d) ==
                         rounded(from[size_t(row[size_t(i)]) * size_t(c.width) + size_t(d)], c.out);
  CHECK(held);
}

}  // namespace redllm::test

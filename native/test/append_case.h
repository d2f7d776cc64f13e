// An append with everything it may be asked for, against a double-precision loop.
#pragma once

#include "guarded.h"

namespace redllm::test {

struct AppendCase {
  int32_t tokens, heads, kv_heads, head_dim, half;
  DType type;
  bool keys, norm, gain, nowhere;  // nowhere: some tokens' K and V are kept in no page
};

// Every multiple of 8 that there is; twice as often those that models have, or that end a kernel's padding.
inline int32_t any_head_dim(Random& random) {
  constexpr int32_t kDims[] = {8, 16, 24, 64, 80, 96, 128, 256};
  return random.integer(0, 2) == 0 ? 8 * static_cast<int32_t>(random.integer(1, 32)) : kDims[random.integer(0, 7)];
}

inline AppendCase random_append_case(Random& random, int32_t most_tokens) {
  const int32_t dim = any_head_dim(random), heads = static_cast<int32_t>(random.integer(0, 4));
  const int32_t half = static_cast<int32_t>(coin(random) ? dim / 2 : random.integer(0, dim / 2));
  return {edge_size(random, 0, most_tokens),
          heads,
          static_cast<int32_t>(random.integer(1, 3)),
          dim,
          half,
          any_type(random),
          heads == 0 || random.integer(0, 2) > 0,
          coin(random),
          coin(random),
          random.integer(0, 3) == 0};
}

inline std::vector<double> head_reference(const float* x, int32_t dim, const HeadNorm& norm, const Rope& rope,
                                          int32_t position) {
  std::vector<double> y(x, x + dim);
  if (norm.on) {
    double square = 0;
    for (double value : y) square += value * value;
    const double factor = 1 / std::sqrt(square / dim + norm.eps);
    for (int32_t i = 0; i < dim; ++i) y[i] *= factor * (norm.gain ? norm.gain[i] : 1);
  }
  if (rope.cos == nullptr) return y;
  for (int32_t i = 0; i < rope.half; ++i) {
    const double c = rope.cos[position * rope.half + i], s = rope.sin[position * rope.half + i];
    const double a = y[i], b = y[i + rope.half];
    y[i] = a * c - b * s;
    y[i + rope.half] = b * c + a * s;
  }
  return y;
}

inline void check_append(Backend& backend, const AppendCase& c, Random& random) {
  const int32_t dim = c.head_dim, layers = 2, pages = c.tokens / kPageTokens + 3, positions = 100;
  const int64_t width = int64_t{c.heads + 2 * c.kv_heads} * dim;
  const auto x = random.reals(static_cast<size_t>(c.tokens * width), 2);
  const auto q_gain = random.reals(dim), k_gain = random.reals(dim), v_gain = random.reals(dim);
  const auto cos = random.reals(positions * dim), sin = random.reals(positions * dim);
  PagePool pool = {nullptr, c.type, pages, layers, c.kv_heads, dim};
  const size_t page_bytes = backend.ops().page_bytes(c.type, layers, c.kv_heads, dim);
  Guarded<unsigned char> memory(page_bytes * static_cast<size_t>(pages));
  if (c.keys) pool.data = memory.data();
  std::vector<int32_t> slots(static_cast<size_t>(pages * kPageTokens)), page(c.tokens), in_page(c.tokens),
      position(c.tokens);
  for (size_t i = 0; i < slots.size(); ++i) slots[i] = static_cast<int32_t>(i);
  slots = shuffled(slots, random);
  for (int32_t t = 0; t < c.tokens; ++t) {
    page[t] = c.nowhere && random.integer(0, 2) == 0 ? -1 : slots[t] / kPageTokens;
    in_page[t] = slots[t] % kPageTokens;
    position[t] = static_cast<int32_t>(random.integer(0, positions - 1));
  }
  const auto norm = [&](const std::vector<float>& gain) {
    return HeadNorm{c.norm, 1e-6f, c.gain ? gain.data() : nullptr};
  };
  const Rope q_rope = {c.half ? cos.data() : nullptr, sin.data(), c.half};
  const Rope k_rope = {c.half ? sin.data() : nullptr, cos.data(), c.half / 2 ? c.half / 2 : c.half};
  Guarded<float> q(static_cast<size_t>(c.tokens) * c.heads * dim);
  AppendArgs args = {};
  args.x = {const_cast<float*>(x.data()), DType::f32, c.tokens, width};
  args.heads = c.heads;
  args.kv_heads = c.kv_heads;
  args.head_dim = dim;
  args.q_norm = norm(q_gain);
  args.k_norm = norm(k_gain);
  args.v_norm = norm(v_gain);
  args.q_rope = q_rope;
  args.k_rope = k_rope;
  args.position = c.half ? position.data() : nullptr;
  args.q = {c.heads ? q.data() : nullptr, DType::f32, c.tokens, int64_t{c.heads} * dim};
  args.pool = pool;
  args.layer = 1;
  args.page = c.keys ? page.data() : nullptr;
  args.in_page = c.keys ? in_page.data() : nullptr;
  backend.ops().append(backend.context(), args);
  CHECK(q.intact() && memory.intact());

  const double bound = c.type == DType::f32 ? 1e-6 : 4e-3;
  const PageElements at(backend, pool, args.layer);
  std::vector<char> written(memory.size() / size_of(c.type));
  for (int32_t t = 0; t < c.tokens; ++t) {
    const float* row = x.data() + t * width;
    for (int32_t h = 0; h < c.heads; ++h) {
      const auto want = head_reference(row + h * dim, dim, args.q_norm, q_rope, position[t]);
      CHECK(relative_error(q.data() + (t * c.heads + h) * dim, want.data(), want.size()) < 1e-6);
    }
    if (!c.keys || page[t] < 0) continue;
    for (int32_t h = 0; h < c.kv_heads; ++h) {
      const auto k = head_reference(row + (c.heads + h) * dim, dim, args.k_norm, k_rope, position[t]);
      const auto v = head_reference(row + (c.heads + c.kv_heads + h) * dim, dim, args.v_norm, {}, 0);
      std::vector<float> got_k(dim), got_v(dim);
      for (int32_t d = 0; d < dim; ++d) {
        got_k[d] = element(memory.data(), c.type, at.key(page[t], h, in_page[t], d));
        got_v[d] = element(memory.data(), c.type, at.value(page[t], h, in_page[t], d));
        written[at.key(page[t], h, in_page[t], d)] = 1;
      }
      for (int32_t d = 0; d < at.value_width(); ++d) written[at.value(page[t], h, in_page[t], d)] = 1;
      CHECK(relative_error(got_k.data(), k.data(), k.size()) < bound);
      CHECK(relative_error(got_v.data(), v.data(), v.size()) < bound);
      if (!c.norm)
        for (int32_t d = 0; d < dim; ++d) CHECK(got_v[d] == rounded(row[(c.heads + c.kv_heads + h) * dim + d], c.type));
    }
  }
  for (size_t i = 0; i < written.size(); ++i)
    if (!written[i] && !std::isnan(element(memory.data(), c.type, i)))
      CHECK(!"an element that no token owns was written");
}

}  // namespace redllm::test

// One attention call with everything it reads: made at random, written to pages by the op `append`, and computed again in double.
#pragma once

#include "guarded.h"

namespace redllm::test {

enum class Mask { all, causal, prefix, window, random, none };

// K and V of one segment of all sequences: x[sequence] is [keys][2 kv_heads head_dim], and where the pages hold it.
struct CaseSegment {
  DType type = DType::f32;
  std::vector<int32_t> keys;  // [sequences]
  std::vector<std::vector<float>> x;
  std::vector<int32_t> pages, page_start, left, right;
  std::vector<unsigned char> memory;
  PagePool pool;
};

struct AttentionCase {
  static constexpr float kEps = 1e-6f;
  int32_t kv_heads = 1, shared = 1, head_dim = 64, segments = 1;
  std::vector<int32_t> query_start = {0}, query_index, group, sequence;
  RowKind kind = RowKind::prefill;
  std::vector<float> q, bias, gain;
  CaseSegment segment[2];
  float scale = 1, softcap = 0;
  int32_t reach = 0;
  bool grouped = false;
  bool normed = false;  // by `gain`, where there is one
  DType out = DType::f32;

  int32_t heads() const { return kv_heads * shared; }
  int32_t sequences() const { return static_cast<int32_t>(query_start.size()) - 1; }
  int32_t tokens() const { return query_start.back(); }

  AttentionArgs args(Tensor to) {
    AttentionArgs a = {};
    sequence.clear();
    a.kind = kind;
    for (int32_t s = 0; s < sequences(); ++s) {
      a.max_queries = std::max(a.max_queries, query_start[s + 1] - query_start[s]);
      sequence.insert(sequence.end(), query_start[s + 1] - query_start[s], s);
      for (int32_t i = 0; i < segments; ++i) a.max_keys = std::max(a.max_keys, segment[i].keys[s]);
    }
    a.sequence = sequence.data();
    a.q = {q.data(), DType::f32, tokens(), int64_t{heads()} * head_dim};
    a.query_start = query_start.data();
    a.sequences = sequences();
    a.query_index = query_index.data();
    a.group = grouped ? group.data() : nullptr;
    a.heads = heads();
    a.head_dim = head_dim;
    a.segments = segments;
    for (int32_t s = 0; s < segments; ++s) {
      CaseSegment& from = segment[s];
      a.segment[s] = {from.pool, 1, from.pages.data(), from.page_start.data(), from.left.data(), from.right.data()};
    }
    a.scale = scale;
    a.softcap = softcap;
    a.bias = bias.empty() ? nullptr : bias.data();
    a.reach = reach;
    a.out_norm = {normed, kEps, gain.empty() ? nullptr : gain.data()};
    a.out = to;
    return a;
  }
};

// Writes keys [first, last) of a sequence to its pages.
inline void append_keys(Backend& backend, const AttentionCase& c, CaseSegment& s, int32_t sequence, int32_t first,
                        int32_t last) {
  std::vector<int32_t> page, in_page;
  for (int32_t k = first; k < last; ++k) {
    page.push_back(s.pages[s.page_start[sequence] + k / kPageTokens]);
    in_page.push_back(k % kPageTokens);
  }
  const int64_t width = int64_t{2} * c.kv_heads * c.head_dim;
  AppendArgs a = {};
  a.x = {s.x[sequence].data() + first * width, DType::f32, last - first, width};
  a.kv_heads = c.kv_heads;
  a.head_dim = c.head_dim;
  a.pool = s.pool;
  a.layer = 1;
  a.page = page.data();
  a.in_page = in_page.data();
  if (last > first) backend.ops().append(backend.context(), a);
}

// A pool whose every element is NaN, and page tables of pages in random order. A sequence's table takes that of `same_as` where
// that is not negative.
inline void lay_out(Backend& backend, const AttentionCase& c, CaseSegment& s, const std::vector<int32_t>& same_as,
                    Random& random) {
  int32_t total = 0;
  for (int32_t keys : s.keys) total += (keys + kPageTokens - 1) / kPageTokens;
  s.pool = {nullptr, s.type, total + 3, 2, c.kv_heads, c.head_dim};
  s.memory.assign(backend.ops().page_bytes(s.type, 2, c.kv_heads, c.head_dim) * static_cast<size_t>(s.pool.pages) + 64,
                  0xff);
  s.pool.data = s.memory.data() + (64 - reinterpret_cast<uintptr_t>(s.memory.data()) % 64) % 64;
  std::vector<int32_t> all(static_cast<size_t>(s.pool.pages));
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int32_t>(i);
  all = shuffled(all, random);
  s.pages.clear();
  s.page_start.clear();
  for (size_t i = 0; i < s.keys.size(); ++i) {
    if (same_as[i] >= 0) {
      s.page_start.push_back(s.page_start[static_cast<size_t>(same_as[i])]);
      continue;
    }
    s.page_start.push_back(static_cast<int32_t>(s.pages.size()));
    for (int32_t k = 0; k < s.keys[i]; k += kPageTokens) s.pages.push_back(all[s.pages.size()]);
    append_keys(backend, c, s, static_cast<int32_t>(i), 0, s.keys[i]);
  }
  s.pages.push_back(1 << 28);  // no one may follow an entry beyond its table
}

inline void set_mask(CaseSegment& s, Mask mask, int32_t keys, int32_t queries, Random& random) {
  const int32_t prefix = static_cast<int32_t>(random.integer(0, keys));
  const int32_t reach = static_cast<int32_t>(random.integer(1, 40));
  for (int32_t i = 0; i < queries; ++i) {
    const int32_t t = keys - queries + i;  // the queries are the last keys
    int32_t left = 0, right = keys;
    if (mask == Mask::causal || mask == Mask::window) right = t + 1;
    if (mask == Mask::prefix) right = std::max(t + 1, prefix);
    if (mask == Mask::window) left = t + 1 - reach;
    if (mask == Mask::random) {
      left = static_cast<int32_t>(random.integer(0, keys));
      right = static_cast<int32_t>(random.integer(0, keys));
    }
    if (mask == Mask::none) right = 0;
    s.left.push_back(left);
    s.right.push_back(std::max(0, right));
  }
}

// The case of tokens [first, last) of one sequence, over the same pages.
inline AttentionCase part(const AttentionCase& c, int32_t sequence, int32_t first, int32_t last) {
  const auto cut = [=](const auto& all, int64_t width) {
    return std::vector(all.begin() + first * width, all.begin() + last * width);
  };
  AttentionCase one;
  one.kv_heads = c.kv_heads, one.shared = c.shared, one.head_dim = c.head_dim, one.segments = c.segments;
  one.query_start = {0, last - first};
  one.query_index = cut(c.query_index, 1);
  one.q = cut(c.q, int64_t{c.heads()} * c.head_dim);
  one.bias = c.bias, one.gain = c.gain;
  one.scale = c.scale, one.softcap = c.softcap, one.reach = c.reach, one.normed = c.normed, one.out = c.out;
  for (int32_t s = 0; s < c.segments; ++s) {
    const CaseSegment& from = c.segment[s];
    one.segment[s].type = from.type;
    one.segment[s].keys = {from.keys[sequence]};
    one.segment[s].x = {from.x[sequence]};
    one.segment[s].pages = from.pages;
    one.segment[s].page_start = {from.page_start[sequence]};
    one.segment[s].left = cut(from.left, 1);
    one.segment[s].right = cut(from.right, 1);
    one.segment[s].pool = from.pool;
  }
  return one;
}

// The naive loop, in double over the keys and values as the pool's type rounds them.
inline std::vector<double> reference(const AttentionCase& c) {
  std::vector<double> out(c.q.size());
  const int32_t dim = c.head_dim;
  for (int32_t sequence = 0; sequence < c.sequences(); ++sequence)
    for (int32_t t = c.query_start[sequence]; t < c.query_start[sequence + 1]; ++t)
      for (int32_t h = 0; h < c.heads(); ++h) {
        std::vector<double> logits;
        std::vector<const float*> values;
        std::vector<DType> types;
        const int64_t at = (int64_t{t} * c.heads() + h) * dim;
        for (int32_t i = 0; i < c.segments; ++i) {
          const CaseSegment& s = c.segment[i];
          for (int32_t key = std::max(0, s.left[t]); key < s.right[t]; ++key) {
            const float* k = s.x[sequence].data() + (int64_t{key} * 2 * c.kv_heads + h / c.shared) * dim;
            double logit = 0;
            for (int32_t d = 0; d < dim; ++d) logit += double(c.q[at + d]) * rounded(k[d], s.type);
            logit *= c.scale;
            if (c.softcap != 0) logit = c.softcap * std::tanh(logit / c.softcap);
            if (i == 0 && !c.bias.empty())
              logit += c.bias[h * (2 * c.reach + 1) + std::clamp(key - c.query_index[t], -c.reach, c.reach) + c.reach];
            logits.push_back(logit);
            values.push_back(k + c.kv_heads * dim);
            types.push_back(s.type);
          }
        }
        if (logits.empty()) continue;
        const double top = *std::max_element(logits.begin(), logits.end());
        double sum = 0, square = 0;
        for (size_t j = 0; j < logits.size(); ++j) {
          const double p = std::exp(logits[j] - top);
          sum += p;
          for (int32_t d = 0; d < dim; ++d) out[at + d] += p * rounded(values[j][d], types[j]);
        }
        for (int32_t d = 0; d < dim; ++d) square += (out[at + d] /= sum) * out[at + d];
        if (!c.normed) continue;
        const double factor = 1 / std::sqrt(square / dim + AttentionCase::kEps);
        for (int32_t d = 0; d < dim; ++d) out[at + d] *= factor * (c.gain.empty() ? 1 : c.gain[d]);
      }
  return out;
}

}  // namespace redllm::test

// One attention call with everything it reads: made at random, written to pages by the op `append`, and computed again in double.
#pragma once

#include "append_case.h"

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
  float scale = 1, softcap = 0, logit_bound = 0;
  int32_t reach = 0;
  int32_t spare_keys = 0;  // by which max_keys is too great
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
    a.max_keys += spare_keys;
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
    a.logit_bound = logit_bound;
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
  const int32_t reach = static_cast<int32_t>(random.integer(1, coin(random) ? 40 : std::max(keys, 1)));
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
  one.kind = c.kind;
  one.logit_bound = c.logit_bound;
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

// What the product of a query's head and a key of the segment is to the softmax.
inline double logit_of(const AttentionCase& c, int32_t segment, double product, int32_t token, int32_t head,
                       int32_t key) {
  double logit = product * c.scale;
  if (c.softcap != 0) logit = c.softcap * std::tanh(logit / c.softcap);
  if (segment > 0 || c.bias.empty()) return logit;
  const int32_t distance = std::clamp(key - c.query_index[token], -c.reach, c.reach);
  return logit + c.bias[head * (2 * c.reach + 1) + distance + c.reach];
}

// The naive loop, in double over the keys and values as the pool's type rounds them. `rounds_both`: queries and probabilities are
// rounded to the pool's type too, as tensor cores take them.
inline std::vector<double> reference(const AttentionCase& c, bool rounds_both = false) {
  std::vector<double> out(c.q.size());
  const int32_t dim = c.head_dim;
  for (int32_t sequence = 0; sequence < c.sequences(); ++sequence) {
    std::vector<float> kept[2];  // K and V as the pages hold them
    for (int32_t i = 0; i < c.segments; ++i)
      for (float value : c.segment[i].x[sequence]) kept[i].push_back(rounded(value, c.segment[i].type));
    for (int32_t t = c.query_start[sequence]; t < c.query_start[sequence + 1]; ++t)
      for (int32_t h = 0; h < c.heads(); ++h) {
        std::vector<double> logits;
        std::vector<const float*> values;
        std::vector<DType> types;
        const int64_t at = (int64_t{t} * c.heads() + h) * dim;
        for (int32_t i = 0; i < c.segments; ++i) {
          const CaseSegment& s = c.segment[i];
          std::vector<double> q(c.q.begin() + at, c.q.begin() + at + dim);
          if (rounds_both)
            for (double& value : q) value = rounded(static_cast<float>(value), s.type);
          for (int32_t key = std::max(0, s.left[t]); key < s.right[t]; ++key) {
            const float* k = kept[i].data() + (int64_t{key} * 2 * c.kv_heads + h / c.shared) * dim;
            double product = 0;
            for (int32_t d = 0; d < dim; ++d) product += q[static_cast<size_t>(d)] * k[d];
            logits.push_back(logit_of(c, i, product, t, h, key));
            values.push_back(k + c.kv_heads * dim);
            types.push_back(s.type);
          }
        }
        if (logits.empty()) continue;
        const double top = *std::max_element(logits.begin(), logits.end());
        double sum = 0, square = 0;
        for (size_t j = 0; j < logits.size(); ++j) {
          double p = std::exp(logits[j] - top);
          sum += p;
          if (rounds_both) p = rounded(static_cast<float>(p), types[j]);
          for (int32_t d = 0; d < dim; ++d) out[at + d] += p * values[j][d];
        }
        for (int32_t d = 0; d < dim; ++d) square += (out[at + d] /= sum) * out[at + d];
        if (!c.normed) continue;
        const double factor = 1 / std::sqrt(square / dim + AttentionCase::kEps);
        for (int32_t d = 0; d < dim; ++d) out[at + d] *= factor * (c.gain.empty() ? 1 : c.gain[d]);
      }
  }
  return out;
}

// By the rule of FlashAttention's tests: twice the error of a reference in the same type (three times with a soft-cap, whose tanh
// is an approximation there), but no less than what a few roundings make of a sum of few terms.
inline double attention_bound(const Backend& backend, const AttentionCase& c, const std::vector<double>& want) {
  const double out = c.out == DType::f32 ? 0 : 4e-3;
  if (!on_device(backend)) return out == 0 ? 3e-6 : out;
  if (c.segment[0].type == DType::f32) return out + 2e-5;
  const auto same_type = reference(c, true);
  const double error = relative_error(same_type.data(), want.data(), want.size());
  return out + std::max((c.softcap != 0 ? 3 : 2) * error, 6e-3);
}

inline std::vector<float> attend(Backend& backend, AttentionCase& c) {
  Output out(c.out, c.tokens(), int64_t{c.heads()} * c.head_dim);
  backend.ops().attention(backend.context(), c.args(out.tensor()));
  CHECK(out.intact());
  return out.values();
}

// Whether `part` has the bits of `whole` from `first` on.
inline bool matches(const std::vector<float>& part, const std::vector<float>& whole, int64_t first) {
  return part.empty() || std::memcmp(part.data(), whole.data() + first, part.size() * sizeof(float)) == 0;
}

// Against the naive loop, and the promises of company: `thorough`: for every sequence, else for one of them.
inline void check_attention(Backend& backend, Backend& twin, AttentionCase& c, Random& random, bool thorough) {
  const auto got = attend(backend, c);
  const auto want = reference(c);
  const double error = relative_error(got.data(), want.data(), got.size()), bound = attention_bound(backend, c, want);
  if (!CHECK(error < bound))
    std::fprintf(
        stderr,
        "  %s kind %d sequences %d tokens %d heads %d of %d dim %d types %d %d segments %d out %d bias %d cap %g "
        "bound %g grouped %d normed %d: error %g, at most %g\n",
        backend.ops().name, int(c.kind), c.sequences(), c.tokens(), c.heads(), c.kv_heads, c.head_dim,
        int(c.segment[0].type), int(c.segment[1].type), c.segments, int(c.out), int(!c.bias.empty()), double(c.softcap),
        double(c.logit_bound), c.grouped, c.normed, error, bound);
  CHECK(same_bits(attend(twin, c), got));
  const int64_t width = int64_t{c.heads()} * c.head_dim;
  const int32_t chosen = static_cast<int32_t>(random.integer(0, c.sequences() - 1));
  for (int32_t s = thorough ? 0 : chosen; s < (thorough ? c.sequences() : chosen + 1); ++s) {
    const int32_t first = c.query_start[s], last = c.query_start[s + 1];
    if (first == last) continue;
    // A sequence alone; one of its queries alone; a stretch of them.
    AttentionCase alone = part(c, s, first, last);
    CHECK(matches(attend(backend, alone), got, first * width));
    const int32_t t = static_cast<int32_t>(random.integer(first, last - 1));
    AttentionCase single = part(c, s, t, t + 1);
    CHECK(matches(attend(backend, single), got, t * width));
    AttentionCase stretch = part(c, s, t, static_cast<int32_t>(random.integer(t + 1, last)));
    CHECK(matches(attend(backend, stretch), got, t * width));
    // Other queries see other keys.
    for (int32_t i = first; i < last; ++i)
      if (i != t)
        for (int32_t j = 0; j < c.segments; ++j) {
          alone.segment[j].left[i - first] = static_cast<int32_t>(random.integer(0, c.segment[j].keys[s]));
          alone.segment[j].right[i - first] = static_cast<int32_t>(random.integer(0, c.segment[j].keys[s]));
        }
    const auto changed = attend(backend, alone);
    CHECK(std::memcmp(changed.data() + (t - first) * width, got.data() + t * width, width * sizeof(float)) == 0);
  }
}

}  // namespace redllm::test

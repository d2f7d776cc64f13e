// What attention_mass finds against the naive loop in double: every mask, type, head and bin; and that the bins hold all there is.
#pragma once

#include "attention_random.h"

namespace redllm::test {

struct MassBins {
  KeyBins kind;
  int32_t back, bins;
};

inline int32_t mass_bin(const MassBins& bins, int32_t key, int32_t index, int32_t right) {
  if (bins.kind == KeyBins::recent) return key < index - bins.back ? 0 : key <= index ? 1 : 2;
  for (int32_t b = 1; b < bins.bins; ++b)
    if (key < std::ceil(double(b) * right / bins.bins)) return b - 1;
  return bins.bins - 1;
}

inline std::vector<double> masses(const AttentionCase& c, const MassBins& bins) {
  std::vector<double> out(static_cast<size_t>(c.tokens()) * c.heads() * bins.bins);
  const CaseSegment& s = c.segment[0];
  for (int32_t sequence = 0; sequence < c.sequences(); ++sequence)
    for (int32_t t = c.query_start[sequence]; t < c.query_start[sequence + 1]; ++t)
      for (int32_t h = 0; h < c.heads(); ++h) {
        const int64_t at = int64_t{t} * c.heads() + h;
        std::vector<double> logits;
        const int32_t left = std::max(0, s.left[t]);
        for (int32_t key = left; key < s.right[t]; ++key) {
          const float* k = s.x[sequence].data() + (int64_t{key} * 2 * c.kv_heads + h / c.shared) * c.head_dim;
          double product = 0;
          for (int32_t d = 0; d < c.head_dim; ++d) product += double(c.q[at * c.head_dim + d]) * rounded(k[d], s.type);
          logits.push_back(logit_of(c, 0, product, t, h, key));
        }
        if (logits.empty()) continue;
        const double top = *std::max_element(logits.begin(), logits.end());
        double sum = 0;
        for (double& logit : logits) sum += logit = std::exp(logit - top);
        for (size_t i = 0; i < logits.size(); ++i)
          out[at * bins.bins + mass_bin(bins, left + int32_t(i), c.query_index[t], s.right[t])] += logits[i] / sum;
      }
  return out;
}

inline std::vector<float> look(Backend& backend, AttentionCase& c, const MassBins& bins) {
  std::vector<float> mass(static_cast<size_t>(c.tokens()) * c.heads() * bins.bins, -1.0f);
  const AttentionMassArgs args = {c.args({}), bins.kind, bins.back, bins.bins, mass.data()};
  backend.ops().attention_mass(backend.context(), args);
  return mass;
}

inline void check_masses(Backend& backend, Backend& twin, AttentionCase& c, const MassBins& bins, Random& random) {
  const auto got = look(backend, c, bins);
  const auto want = masses(c, bins);
  double worst = 0, off = 0;
  for (size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::fabs(got[i] - want[i]));
  for (size_t i = 0; i < got.size(); i += bins.bins) {
    const int32_t t = static_cast<int32_t>(i / static_cast<size_t>(bins.bins * c.heads()));
    double sum = 0;
    for (int32_t b = 0; b < bins.bins; ++b) sum += got[i + b];
    const bool sees = std::max(0, c.segment[0].left[t]) < c.segment[0].right[t];
    off = std::max(off, std::fabs(sum - (sees ? 1 : 0)));
  }
  const double bound = on_device(backend) ? 1e-5 : 1e-6;
  if (!CHECK(worst < bound && off < 2 * bound))
    std::fprintf(stderr, "  %s kind %d bins %d: off by %g, sums by %g\n", backend.ops().name, int(bins.kind), bins.bins,
                 worst, off);
  CHECK(same_bits(look(twin, c, bins), got));
  // A sequence alone has the bits that it has among others.
  const int32_t s = static_cast<int32_t>(random.integer(0, c.sequences() - 1));
  if (c.query_start[s] == c.query_start[s + 1]) return;
  AttentionCase alone = part(c, s, c.query_start[s], c.query_start[s + 1]);
  CHECK(matches(look(backend, alone, bins), got, int64_t{c.query_start[s]} * c.heads() * bins.bins));
}

// Both kinds of bins over one random case.
inline void check_random_masses(Backend& backend, Backend& twin, Random& random, const AttentionSizes& sizes) {
  AttentionCase c = random_attention_case(backend, random, sizes);
  c.segments = 1;
  check_masses(backend, twin, c, {KeyBins::recent, static_cast<int32_t>(random.integer(0, 9)), 3}, random);
  const int32_t bins = static_cast<int32_t>(random.integer(1, coin(random) ? 8 : 128));
  check_masses(backend, twin, c, {KeyBins::equal, 0, bins}, random);
}

}  // namespace redllm::test

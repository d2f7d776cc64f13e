// The sampler against the numbered steps in double, against itself, and against the distribution it should draw from.
#include "sample_random.h"

using namespace redllm;
using namespace redllm::test;

namespace {

// Known answers of Random123 (kat_vectors, philox4x32 10).
void generator() {
  const auto is = [](cpu::Philox x, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    return x.word[0] == a && x.word[1] == b && x.word[2] == c && x.word[3] == d;
  };
  CHECK(is(cpu::philox(0, 0, {{0, 0, 0, 0}}), 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8));
  CHECK(is(cpu::philox(~0u, ~0u, {{~0u, ~0u, ~0u, ~0u}}), 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd));
  CHECK(is(cpu::philox(0xa4093822, 0x299f31d0, {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}), 0xd16cfe09,
           0x94fdcceb, 0x5001e420, 0x24126ea1));
}

// Pearson's statistic of draws of a row (steps 0, 1, ...) against probabilities, in standard deviations above its mean.
double chi_square(Backend& backend, SampleCase& c, const std::vector<double>& p, int32_t draws) {
  std::vector<int32_t> counts(p.size());
  for (int32_t first = 0; first < draws; first += c.rows) {
    for (int32_t row = 0; row < c.rows; ++row) c.step[row] = first + row;
    SampleResult got = sample(backend, c);
    for (int32_t row = 0; row < c.rows; ++row) ++counts[static_cast<size_t>(got.token[row])];
  }
  double statistic = 0, cells = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] == 0) {
      CHECK(counts[i] == 0);
      continue;
    }
    statistic += (counts[i] - p[i] * draws) * (counts[i] - p[i] * draws) / (p[i] * draws);
    ++cells;
  }
  return (statistic - (cells - 1)) / std::sqrt(2 * (cells - 1));
}

void distribution(Backend& backend, Random& random) {
  const int32_t vocabulary = emulated(backend) ? 40 : 300, draws = emulated(backend) ? 3000 : 40000;
  const auto logits = random.reals(vocabulary, 2);
  for (const bool filtered : {false, true}) {
    SampleCase c(vocabulary, 0, 0);
    for (int32_t row = 0; row < 500; ++row) {
      c.add_row(logits);
      c.seed[2 * row] = 12345;
      c.seed[2 * row + 1] = 678;
      if (filtered) c.top_k.back() = 20;
    }
    std::vector<double> p(logits.begin(), logits.end()), sorted;
    for (double& value : p) value = std::exp(value);
    sorted = p;
    std::sort(sorted.begin(), sorted.end(), [](double a, double b) { return a > b; });
    double total = 0;
    for (double& value : p) total += value = filtered && value < sorted[19] ? 0 : value;
    for (double& value : p) value /= total;
    CHECK(chi_square(backend, c, p, draws) < 4);
  }
}

// Greedy in three ways, neutral settings in two, a cold temperature.
void equivalences(Backend& backend, Random& random) {
  for (int round = 0; round < rounds(backend, 20, 5); ++round) {
    const int32_t vocabulary = static_cast<int32_t>(random.integer(1, 3000));
    const auto logits = random.reals(static_cast<size_t>(vocabulary), 9);
    SampleCase c(vocabulary, 1, 1);
    for (int32_t row = 0; row < 8; ++row) {
      c.add_row(logits);
      c.seed[2 * row] = static_cast<uint32_t>(round);
    }
    c.temperature[0] = 0;
    c.top_k[1] = 1;
    c.top_p[2] = 0;
    c.min_p[3] = 1;
    c.temperature[4] = 1e-30f;
    c.top_k[6] = vocabulary;
    c.top_p[6] = 1;
    c.min_p[6] = 0;
    c.slot[6] = 0;
    c.alternatives[7] = 1;
    SampleResult got = sample(backend, c);
    for (int row = 1; row < 5; ++row) CHECK(got.token[row] == got.token[0]);
    CHECK(got.token[6] == got.token[5] && got.token[7] == got.token[5]);
    CHECK(got.top_token[7] == got.token[0]);
  }
}

// Logits that no model should give.
void broken(Backend& backend) {
  const std::vector<std::vector<float>> rows = {{NAN, NAN, NAN, NAN, NAN},
                                                {-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY},
                                                {NAN, 1, NAN, 2, -INFINITY},
                                                {1, INFINITY, 2, INFINITY, NAN},
                                                {0, 0, 0, 0, 0},
                                                {3e38f, -3e38f, 3e38f, 0, 0}};
  const int32_t want[] = {0, 0, 3, 1, 0, 0};
  for (const float temperature : {0.0f, 1e-40f, 1.0f, 1e30f})
    for (const float top_p : {0.0f, 0.5f, 1.0f}) {
      SampleCase c(5, 5, 6);
      for (size_t i = 0; i < rows.size(); ++i) {
        c.add_row(rows[i]);
        c.temperature.back() = temperature;
        c.top_p.back() = top_p;
        c.alternatives.back() = 5;
        c.slot.back() = static_cast<int32_t>(i);
      }
      SampleResult got = sample(backend, c);
      for (int row = 0; row < c.rows; ++row) {
        CHECK(got.token[row] >= 0 && got.token[row] < 5);
        CHECK(temperature > 0 || got.token[row] == want[row]);
        CHECK(!std::isnan(got.logprob[row]) && got.rank[row] >= 1);
        for (int i = 0; i < 5; ++i) CHECK(got.top_token[row * 5 + i] >= 0 && !std::isnan(got.top_logprob[row * 5 + i]));
      }
      CHECK(temperature == 1e30f || got.token[2] == 3 || got.token[2] == 1);
    }
  // Everything banned by bias: token 0. All but one: that one.
  SampleCase c(5, 0, 0);
  for (int row = 0; row < 4; ++row) {
    c.add_row({1, 2, 3, 4, 5});
    c.temperature.back() = row % 2 ? 1.0f : 0.0f;
    for (int32_t i = 0; i < 5; ++i)
      if (row < 2 || i != 2) c.add_bias(i, -INFINITY);
  }
  SampleResult got = sample(backend, c);
  CHECK(got.token[0] == 0 && got.token[1] == 0 && got.token[2] == 2 && got.token[3] == 2);
}

// Only the allowed tokens are chosen, whatever is probable, and however often one stands in the list; where these are all banned,
// or have no logit, it is the first of them.
void allowed(Backend& backend) {
  for (const float temperature : {0.0f, 1.0f, 1e6f}) {
    SampleCase c(5, 2, 0);
    const std::vector<std::vector<int32_t>> lists = {{2}, {2, 3, 2, 3}, {}, {3}, {4, 1}};
    for (const std::vector<int32_t>& list : lists) {
      c.add_row({9, -INFINITY, -3, 8, NAN});
      c.temperature.back() = temperature;
      c.alternatives.back() = 2;
      for (const int32_t token : list) c.allow(token);
      if (&list == &lists[3]) c.add_bias(3, -INFINITY);
    }
    SampleResult got = sample(backend, c);
    CHECK(got.token[0] == 2);
    CHECK(got.token[1] == 2 || got.token[1] == 3);
    CHECK(temperature > 0 || (got.token[1] == 3 && got.token[2] == 0));
    CHECK(got.token[3] == 3 && got.token[4] == 4);
    for (int row = 0; row < 5; ++row) CHECK(got.top_token[row * 2] == 0 && got.top_token[row * 2 + 1] == 3);
  }
}

// The largest vocabulary, flat: no prefilter helps, and nothing may run out of scratch.
void wide(Backend& backend, Random& random) {
  for (const int32_t vocabulary : {emulated(backend) ? 32768 : 262144, kMaxVocabulary}) {
    if (emulated(backend) && vocabulary == kMaxVocabulary) continue;
    SampleCase c(vocabulary, 3, 0);
    for (int row = 0; row < 2; ++row) {
      c.add_row(random.reals(static_cast<size_t>(vocabulary)));
      c.top_p.back() = 0.9f;
      c.top_k.back() = vocabulary / 2;
      c.alternatives.back() = 3;
      if (row == 1) c.logits[static_cast<size_t>(vocabulary) + 77] = 30;  // the rest lies beyond the first candidates
    }
    const SampleCase before = c;
    SampleResult got = sample(backend, c);
    for (int32_t row = 0; row < 2; ++row) {
      const int32_t want = reference_token(before, row);
      CHECK(want < 0 || got.token[row] == want);
      check_report(before, got, row);
    }
  }
}

}  // namespace

int main() {
  begin("philox");
  generator();
  const auto backends = every_backend();
  for (size_t i = 0; i < backends.size(); ++i) {
    Backend& backend = *backends[i];
    begin(backend.ops().name);
    Random random(5);
    for (int round = 0; round < rounds(backend, 60, 20); ++round)
      check_sample(backend, *backends[i ^ 1], random_sample_case(random, emulated(backend) ? 1000 : 4099));
    for (int round = 0; round < 20; ++round) check_history(backend, random);
    equivalences(backend, random);
    broken(backend);
    allowed(backend);
    if (i % 2 == 1) distribution(backend, random), wide(backend, random);
  }
  begin("too close to call");
  std::printf("%lld rows compared, %lld too close to call\n", static_cast<long long>(sampled().compared),
              static_cast<long long>(sampled().unclear));
  CHECK(sampled().unclear * 20 < sampled().compared);
  return report();
}

// The sampler against the numbered steps in double, against itself, and against the distribution it should draw from.
#include "sample_case.h"

using namespace redllm;
using namespace redllm::test;

namespace {

int64_t unclear = 0, compared = 0;

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

// Whole numbers over 4 where ties are wanted: exact in f32 through every step below.
std::vector<float> random_logits(int32_t count, Random& random) {
  const bool ties = random.integer(0, 2) == 0;
  const float scale = random.integer(0, 1) ? 8.0f : 1.0f;
  std::vector<float> x(static_cast<size_t>(count));
  for (float& value : x)
    value = ties ? static_cast<float>(random.integer(-20, 20)) / 4
                 : scale * (random.real() + random.real() + random.real());
  for (int64_t i = random.integer(0, 3); i > 0; --i) x[static_cast<size_t>(random.integer(0, count - 1))] = -INFINITY;
  return x;
}

SampleCase random_case(Random& random) {
  const int32_t vocabularies[] = {1, 2, 7, 16, 31, 100, 257, 1000, 4099};
  const int32_t vocabulary = vocabularies[random.integer(0, 8)], slots = 12;
  SampleCase c(vocabulary, static_cast<int32_t>(random.integer(0, 25)), slots);
  for (int32_t& count : c.history) count = random.integer(0, 3) == 0 ? static_cast<int32_t>(random.integer(0, 4)) : 0;
  for (int32_t row = 0; row < slots; ++row) {
    c.add_row(random_logits(vocabulary, random));
    if (random.integer(0, 1)) c.slot.back() = row;
    const float temperatures[] = {0, 1, 0.5f, 2, 0.25f, 4};
    c.temperature.back() = temperatures[random.integer(0, 5)];
    if (random.integer(0, 1))
      c.top_k.back() = static_cast<int32_t>(random.integer(1, random.integer(0, 1) ? 5 : vocabulary + 3));
    if (random.integer(0, 1)) c.top_p.back() = std::fabs(random.real());
    if (random.integer(0, 2) == 0) c.min_p.back() = std::fabs(random.real()) * (random.integer(0, 1) ? 1 : 0.05f);
    if (random.integer(0, 1)) c.repetition.back() = random.integer(0, 1) ? 2 : 0.5f;
    if (random.integer(0, 1)) c.presence.back() = static_cast<float>(random.integer(-4, 4)) / 4;
    if (random.integer(0, 1)) c.frequency.back() = static_cast<float>(random.integer(-4, 4)) / 4;
    for (int64_t i = random.integer(0, 1) * random.integer(0, 5); i > 0; --i)
      c.add_bias(static_cast<int32_t>(random.integer(0, vocabulary - 1)),
                 random.integer(0, 1) ? -INFINITY : static_cast<float>(random.integer(-8, 8)));
    for (int64_t i = random.integer(0, 2) == 0 ? random.integer(1, 40) : 0; i > 0; --i)
      c.allow(static_cast<int32_t>(random.integer(0, vocabulary - 1)));
    if (random.integer(0, 9) == 0) c.forced.back() = static_cast<int32_t>(random.integer(0, vocabulary - 1));
    c.alternatives.back() = static_cast<int32_t>(random.integer(-1, c.max_alternatives));
    c.candidates.back() = row % 2;
    c.step.back() = static_cast<int32_t>(random.integer(0, 5000));
    c.seed[2 * row] = static_cast<uint32_t>(random.next());
    c.seed[2 * row + 1] = static_cast<uint32_t>(random.next());
  }
  return c;
}

// Log-probabilities, rank and alternatives of the model, whatever the steps after the first did; but candidates know of bans and of allowed tokens.
void check_report(const SampleCase& c, SampleResult& got, int32_t row) {
  const float* x = c.logits.data() + int64_t{row} * c.vocabulary;
  const int32_t asked = c.alternatives[row], width = c.max_alternatives, token = got.token[row];
  double sum = 0;
  const double top = *std::max_element(x, x + c.vocabulary);
  std::vector<int32_t> order(static_cast<size_t>(c.vocabulary));
  for (int32_t i = 0; i < c.vocabulary; ++i) sum += std::exp(x[i] - top), order[i] = i;
  std::stable_sort(order.begin(), order.end(), [x](int32_t a, int32_t b) { return x[a] > x[b]; });
  const auto close = [&](float a, int32_t id) {
    const double b = std::isinf(x[id]) ? x[id] : x[id] - top - std::log(sum);
    return std::isinf(b) ? a == b : std::fabs(a - b) < 2e-6 * (1 + std::fabs(b));
  };
  if (c.candidates[row]) {
    std::vector<bool> out(static_cast<size_t>(c.vocabulary));
    for (int32_t i = 0; i < c.vocabulary; ++i) out[i] = x[i] == -INFINITY;
    for (int32_t i = c.bias_start[row]; i < c.bias_start[row + 1]; ++i)
      if (c.bias_value[i] == -INFINITY) out[c.bias_token[i]] = true;
    const int32_t *allowed = c.allow_token.data() + c.allow_start[row],
                  *end = c.allow_token.data() + c.allow_start[row + 1];
    for (int32_t i = 0; i < c.vocabulary && allowed < end; ++i)
      if (std::find(allowed, end, i) == end) out[i] = true;
    order.erase(std::remove_if(order.begin(), order.end(), [&](int32_t id) { return out[id]; }), order.end());
  }
  const auto above = std::count_if(x, x + c.vocabulary, [&](float value) { return value > x[token]; });
  CHECK(asked < 0 ? got.logprob[row] == 0 : close(got.logprob[row], token));
  CHECK(got.rank[row] == (asked < 0 ? 0 : 1 + above));
  for (int32_t i = 0; i < width; ++i) {
    const bool there = i < asked && i < static_cast<int32_t>(order.size());
    CHECK(got.top_token[static_cast<size_t>(row * width + i)] == (there ? order[i] : -1));
    CHECK(there ? close(got.top_logprob[static_cast<size_t>(row * width + i)], order[i])
                : got.top_logprob[static_cast<size_t>(row * width + i)] == 0);
  }
}

void fuzz(Backend& backend, Random& random) {
  const SampleCase before = random_case(random);
  SampleCase c = before;
  SampleResult got = sample(backend, c);
  std::vector<int32_t> history = before.history;
  for (int32_t row = 0; row < c.rows; ++row) {
    const int32_t want = reference_token(before, row), token = got.token[row];
    CHECK(token >= 0 && token < c.vocabulary);
    if (token < 0 || token >= c.vocabulary) continue;
    ++(want < 0 ? unclear : compared);
    CHECK(want < 0 || token == want);
    if (before.slot[row] >= 0) ++history[(int64_t{before.slot[row]} * 2 + 1) * c.vocabulary + token];
    check_report(before, got, row);
  }
  CHECK(history == c.history);
  SampleCase again = before;
  SampleResult second = sample(backend, again);
  CHECK(std::equal(got.token.data(), got.token.data() + c.rows, second.token.data()));
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
  const int32_t vocabulary = 300, draws = 40000;
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
  for (int round = 0; round < 20; ++round) {
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
  for (const int32_t vocabulary : {262144, kMaxVocabulary}) {
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
  for (const auto& backend : every_backend()) {
    begin(backend->ops().name);
    Random random(5);
    for (int round = 0; round < 60; ++round) fuzz(*backend, random);
    equivalences(*backend, random);
    broken(*backend);
    allowed(*backend);
    if (backend->threads() == 2) distribution(*backend, random), wide(*backend, random);
  }
  begin("fuzz");
  std::printf("%lld rows compared, %lld too close to call\n", static_cast<long long>(compared),
              static_cast<long long>(unclear));
  CHECK(unclear * 20 < compared);
  return report();
}

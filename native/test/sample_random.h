// Rows to sample at random, and all that must hold of what comes out.
#pragma once

#include "sample_case.h"

namespace redllm::test {

// Rows that could be compared with the steps in double, and those where two answers lay too close.
struct Sampled {
  int64_t compared = 0, unclear = 0;
};

inline Sampled& sampled() {
  static Sampled instance;
  return instance;
}

// The case of one row.
inline SampleCase row_alone(const SampleCase& c, int32_t row) {
  SampleCase one(c.vocabulary, c.max_alternatives, 0);
  one.history = c.history;
  one.add_row({c.logits.begin() + int64_t{row} * c.vocabulary, c.logits.begin() + int64_t{row + 1} * c.vocabulary});
  one.slot = {c.slot[row]}, one.top_k = {c.top_k[row]}, one.step = {c.step[row]}, one.forced = {c.forced[row]};
  one.alternatives = {c.alternatives[row]}, one.candidates = {c.candidates[row]};
  one.temperature = {c.temperature[row]}, one.top_p = {c.top_p[row]}, one.min_p = {c.min_p[row]};
  one.repetition = {c.repetition[row]}, one.presence = {c.presence[row]}, one.frequency = {c.frequency[row]};
  one.seed = {c.seed[2 * row], c.seed[2 * row + 1]};
  for (int32_t i = c.bias_start[row]; i < c.bias_start[row + 1]; ++i) one.add_bias(c.bias_token[i], c.bias_value[i]);
  for (int32_t i = c.allow_start[row]; i < c.allow_start[row + 1]; ++i) one.allow(c.allow_token[i]);
  return one;
}

// Whole numbers over 4 where ties are wanted: exact in f32 through every step below.
inline std::vector<float> random_logits(int32_t count, Random& random) {
  const bool ties = random.integer(0, 2) == 0;
  const float scale = random.integer(0, 1) ? 8.0f : 1.0f;
  std::vector<float> x(static_cast<size_t>(count));
  for (float& value : x)
    value = ties ? static_cast<float>(random.integer(-20, 20)) / 4
                 : scale * (random.real() + random.real() + random.real());
  for (int64_t i = random.integer(0, 3); i > 0; --i) x[static_cast<size_t>(random.integer(0, count - 1))] = -INFINITY;
  return x;
}

inline SampleCase random_sample_case(Random& random, int32_t most_vocabulary) {
  constexpr int32_t kVocabularies[] = {1, 2, 7, 16, 31, 100, 257, 1000, 4099};
  int32_t vocabulary = kVocabularies[random.integer(0, 8)];
  if (vocabulary > most_vocabulary) vocabulary = edge_size(random, 1, most_vocabulary);
  const int32_t slots = 12;
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
inline void check_report(const SampleCase& c, SampleResult& got, int32_t row) {
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

inline void check_sample(Backend& backend, Backend& twin, const SampleCase& before) {
  SampleCase c = before;
  SampleResult got = sample(backend, c);
  std::vector<int32_t> history = before.history;
  for (int32_t row = 0; row < c.rows; ++row) {
    const int32_t want = reference_token(before, row), token = got.token[row];
    CHECK(token >= 0 && token < c.vocabulary);
    if (token < 0 || token >= c.vocabulary) continue;
    ++(want < 0 ? sampled().unclear : sampled().compared);
    CHECK(want < 0 || token == want);
    if (before.slot[row] >= 0) ++history[(int64_t{before.slot[row]} * 2 + 1) * c.vocabulary + token];
    check_report(before, got, row);
  }
  CHECK(history == c.history);
  SampleCase again = before;
  SampleResult second = sample(twin, again);
  const auto same = [](const auto& a, const auto& b) { return std::memcmp(a.data(), b.data(), a.size() * 4) == 0; };
  CHECK(same(got.token, second.token) && same(got.rank, second.rank) && same(got.top_token, second.top_token));
  CHECK(same(got.logprob, second.logprob) && same(got.top_logprob, second.top_logprob));
  // The last row by itself.
  SampleCase alone = row_alone(before, before.rows - 1);
  SampleResult last = sample(backend, alone);
  const size_t row = static_cast<size_t>(before.rows) - 1, wide = static_cast<size_t>(before.max_alternatives);
  CHECK(last.token[0] == got.token[row] && last.rank[0] == got.rank[row]);
  CHECK(std::memcmp(&last.logprob[0], &got.logprob[row], 4) == 0);
  for (size_t i = 0; i < wide; ++i)
    CHECK(last.top_token[i] == got.top_token[row * wide + i] &&
          std::memcmp(&last.top_logprob[i], &got.top_logprob[row * wide + i], 4) == 0);
}

// Counts of prompt and output tokens of one slot, the others left alone.
inline void check_history(Backend& backend, Random& random) {
  const int32_t vocabulary = edge_size(random, 1, 520), slots = 3, slot = static_cast<int32_t>(random.integer(0, 2)),
                count = edge_size(random, 0, 150), prompt = static_cast<int32_t>(random.integer(0, count));
  Guarded<int32_t> history(static_cast<size_t>(slots) * 2 * vocabulary);
  std::vector<int32_t> tokens, want(history.size());
  for (size_t i = 0; i < history.size(); ++i) want[i] = history[i] = static_cast<int32_t>(random.integer(0, 9));
  int32_t* counts = want.data() + int64_t{slot} * 2 * vocabulary;
  std::fill_n(counts, 2 * vocabulary, 0);
  for (int32_t i = 0; i < count; ++i) {
    tokens.push_back(static_cast<int32_t>(random.integer(0, std::min(vocabulary - 1, coin(random) ? 3 : 1 << 20))));
    ++counts[(i < prompt ? 0 : vocabulary) + tokens.back()];
  }
  backend.ops().set_history(backend.context(),
                            {history.data(), vocabulary, slot, count == 0 ? nullptr : tokens.data(), count, prompt});
  CHECK(history.intact() && std::equal(want.begin(), want.end(), history.data()));
}

}  // namespace redllm::test

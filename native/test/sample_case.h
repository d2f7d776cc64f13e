// A batch of rows to sample, and the numbered steps of ops.h in double, with a sort.
#pragma once

#include "cpu/ops/philox.h"
#include "guarded.h"

namespace redllm::test {

struct SampleCase {
  int32_t rows = 0, vocabulary = 0, max_alternatives = 0;
  std::vector<float> logits;
  std::vector<int32_t> slot, history, top_k, step, forced, alternatives, candidates;
  std::vector<int32_t> bias_start = {0}, bias_token, allow_start = {0}, allow_token;
  std::vector<float> temperature, top_p, min_p, repetition, presence, frequency, bias_value;
  std::vector<uint32_t> seed;

  SampleCase(int32_t tokens, int32_t alternatives_wide, int32_t slots)
      : vocabulary(tokens), max_alternatives(alternatives_wide), history(static_cast<size_t>(slots) * 2 * tokens) {}

  // A row that samples by plain softmax; the caller alters the last element of what it wants otherwise.
  void add_row(const std::vector<float>& row) {
    ++rows;
    logits.insert(logits.end(), row.begin(), row.end());
    slot.push_back(-1);
    top_k.push_back(0);
    step.push_back(0);
    forced.push_back(-1);
    alternatives.push_back(-1);
    candidates.push_back(0);
    bias_start.push_back(static_cast<int32_t>(bias_token.size()));
    allow_start.push_back(static_cast<int32_t>(allow_token.size()));
    temperature.push_back(1);
    top_p.push_back(1);
    min_p.push_back(0);
    repetition.push_back(1);
    presence.push_back(0);
    frequency.push_back(0);
    seed.insert(seed.end(), {0, 0});
  }
  void add_bias(int32_t token, float value) {
    bias_token.push_back(token);
    bias_value.push_back(value);
    bias_start.back() = static_cast<int32_t>(bias_token.size());
  }
  void allow(int32_t token) {
    allow_token.push_back(token);
    allow_start.back() = static_cast<int32_t>(allow_token.size());
  }
};

struct SampleResult {
  Guarded<int32_t> token, rank, top_token;
  Guarded<float> logprob, top_logprob;
  explicit SampleResult(const SampleCase& c)
      : token(c.rows),
        rank(c.rows),
        top_token(static_cast<size_t>(c.rows) * c.max_alternatives),
        logprob(c.rows),
        top_logprob(static_cast<size_t>(c.rows) * c.max_alternatives) {}
  bool intact() const {
    return token.intact() && rank.intact() && top_token.intact() && logprob.intact() && top_logprob.intact();
  }
};

inline SampleArgs sample_args(SampleCase& c, SampleResult& to, std::vector<float>& logits) {
  SampleArgs a = {};
  a.logits = {logits.data(), DType::f32, c.rows, c.vocabulary};
  a.slot = c.slot.data();
  a.history = c.history.data();
  a.temperature = c.temperature.data();
  a.top_p = c.top_p.data();
  a.min_p = c.min_p.data();
  a.repetition = c.repetition.data();
  a.presence = c.presence.data();
  a.frequency = c.frequency.data();
  a.top_k = c.top_k.data();
  a.seed = c.seed.data();
  a.step = c.step.data();
  a.forced = c.forced.data();
  a.alternatives = c.alternatives.data();
  a.candidates = c.candidates.data();
  a.bias_start = c.bias_start.data();
  a.bias_token = c.bias_token.data();
  a.bias_value = c.bias_value.data();
  a.allow_start = c.allow_start.data();
  a.allow_token = c.allow_token.data();
  a.max_alternatives = c.max_alternatives;
  a.token = to.token.data();
  a.logprob = to.logprob.data();
  a.rank = to.rank.data();
  a.top_token = to.top_token.data();
  a.top_logprob = to.top_logprob.data();
  return a;
}

inline SampleResult sample(Backend& backend, SampleCase& c) {
  SampleResult result(c);
  std::vector<float> logits = c.logits;  // the op may overwrite them
  backend.ops().sample(backend.context(), sample_args(c, result, logits));
  CHECK(result.intact());
  return result;
}

// The token of a row; -1 where two answers lie within rounding of each other.
inline int32_t reference_token(const SampleCase& c, int32_t row) {
  if (c.forced[row] >= 0) return c.forced[row];
  const int32_t count = c.vocabulary;
  const double near = 1e-5;
  std::vector<double> x(c.logits.begin() + int64_t{row} * count, c.logits.begin() + int64_t{row + 1} * count);
  for (int32_t i = 0; i < count && c.slot[row] >= 0; ++i) {
    const int32_t* counts = c.history.data() + int64_t{c.slot[row]} * 2 * count;
    const int32_t prompt = counts[i], output = counts[count + i];
    if (prompt > 0 || output > 0) x[i] = x[i] > 0 ? x[i] / c.repetition[row] : x[i] * c.repetition[row];
    x[i] -= double(c.frequency[row]) * output + (output > 0 ? c.presence[row] : 0);
  }
  for (int32_t i = c.bias_start[row]; i < c.bias_start[row + 1]; ++i) x[c.bias_token[i]] += c.bias_value[i];
  const int32_t *allowed = c.allow_token.data() + c.allow_start[row],
                *end = c.allow_token.data() + c.allow_start[row + 1];
  for (int32_t i = 0; i < count && allowed < end; ++i)
    if (std::find(allowed, end, i) == end) x[i] = -INFINITY;
  const int32_t best = static_cast<int32_t>(std::max_element(x.begin(), x.end()) - x.begin());
  const double top = x[best];
  if (std::isinf(top)) return allowed < end ? *allowed : 0;
  if (c.temperature[row] == 0) {
    for (int32_t i = 0; i < count; ++i)
      if (i != best && x[i] != top && top - x[i] < near) return -1;
    return best;
  }
  std::vector<double> p(count), sorted;
  const auto keep_at_least = [&](double least) {
    bool clear = true;
    for (double& value : p) {
      if (value > 0 && value != least && std::fabs(value / least - 1) < near) clear = false;
      if (value < least) value = 0;
    }
    return clear;
  };
  for (int32_t i = 0; i < count; ++i) p[i] = std::exp((x[i] - top) / c.temperature[row]);
  if (c.min_p[row] > 0 && !keep_at_least(c.min_p[row])) return -1;
  const auto descending = [&] {
    sorted = p;
    std::sort(sorted.begin(), sorted.end(), [](double a, double b) { return a > b; });
  };
  if (c.top_k[row] > 0 && c.top_k[row] < count) {
    descending();
    if (!keep_at_least(sorted[static_cast<size_t>(c.top_k[row]) - 1])) return -1;
  }
  double total = 0;
  for (double value : p) total += value;
  if (c.top_p[row] < 1) {
    descending();
    double mass = 0, least = 0;
    for (double value : sorted) {
      if (std::fabs(mass - c.top_p[row] * total) < near * total && mass > 0) return -1;
      mass += least = value;
      if (mass >= c.top_p[row] * total) break;
    }
    if (std::fabs(mass - c.top_p[row] * total) < near * total) return -1;
    if (!keep_at_least(least)) return -1;
    total = 0;
    for (double value : p) total += value;
  }
  const cpu::Philox random =
      cpu::philox(c.seed[2 * row], c.seed[2 * row + 1], {{static_cast<uint32_t>(c.step[row]), 0, 0, 0}});
  const double target = random.word[0] / 4294967296.0 * total;
  double running = 0;
  for (int32_t i = 0; i < count; ++i) {
    running += p[i];
    if (p[i] > 0 && std::fabs(running - target) < near * total) return -1;
    if (running > target) return i;
  }
  return -1;
}

}  // namespace redllm::test

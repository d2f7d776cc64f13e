// One token a row: the numbered steps of ops.h. Rows run in parallel, each by one thread. The logits stay as they are; what the
// penalties and the temperature make of them lies in scratch.
#include <math.h>
#include <string.h>

#include "cpu/ops/ops_internal.h"
#include "cpu/ops/philox.h"
#include "cpu/ops/sample_filter.h"
#include "cpu/ops/sample_report.h"

namespace REDLLM_ISA_NAMESPACE {

namespace {

static_assert(2 * sizeof(float) * kMaxVocabulary <= cpu::kScratchBytes);

bool penalised(const SampleArgs& a, int64_t row) {
  return a.slot[row] >= 0 && (a.repetition[row] != 1 || a.presence[row] != 0 || a.frequency[row] != 0);
}

// Steps 2 and 3, in place. counts: the slot's [2][vocabulary].
void penalise(const SampleArgs& a, int64_t row, const int32_t* counts, int32_t vocabulary, float* x) {
  const float repetition = a.repetition[row], presence = a.presence[row], frequency = a.frequency[row];
  const int32_t *prompt = counts, *output = counts + vocabulary;
  for (int32_t i = 0; i < vocabulary; ++i) {
    const float seen = x[i] > 0 ? x[i] / repetition : x[i] * repetition;
    const float logit = (prompt[i] | output[i]) != 0 ? seen : x[i];
    x[i] = logit - (frequency * static_cast<float>(output[i]) + presence * static_cast<float>(output[i] > 0));
  }
}

// Tokens among which a threshold is sought: those of at least some logit, so that the rest cannot matter.
struct Candidates {
  const float* x;
  int32_t count;
  float least;
};

// The fewest of a few nested sets for which enough(set, its least logit) holds, copied to `room`; all where none of them does.
template <typename Enough>
Candidates fewest(const float* x, int32_t vocabulary, float* room, const Enough& enough) {
  const Candidates all = {x, vocabulary, -kInfinity};
  for (float least = -2; least >= -16; least *= 2)
    if (enough(all, least)) return {room, compact(x, vocabulary, least, room), least};
  return all;
}

float greater(float a, float b) {
  return a > b ? a : b;
}

// The greatest threshold that is enough. Sums over fewer tokens round otherwise: where that costs the last bit of a target which all
// of the candidates reach, they are all kept.
template <typename Enough>
float edge_of(const Candidates& some, const Enough& enough) {
  return greater(some.least, greatest_threshold([&](float t) { return enough(some, t); }));
}

// Steps 6 to 8: the least (logit - greatest) / temperature that is kept. x: those, at most 0; room: for as many.
float threshold_of(const SampleArgs& a, int64_t row, const float* x, int32_t vocabulary, float* room) {
  float threshold = a.min_p[row] >= 1 ? 0 : a.min_p[row] > 0 ? ::logf(a.min_p[row]) : -kInfinity;
  const int32_t top_k = a.top_k[row];
  const double top_p = a.top_p[row];
  if (top_k > 0 && top_k < vocabulary) {
    const auto enough = [=](Candidates c, float t) { return count_at_least(c.x, c.count, t) >= top_k; };
    threshold = greater(threshold, edge_of(fewest(x, vocabulary, room, enough), enough));
  }
  if (top_p < 1) {
    const bool filtered = threshold > -kInfinity;
    Candidates all = {x, vocabulary, threshold};
    if (filtered) all = {room, compact(x, vocabulary, threshold, room), threshold};
    const double target = top_p * mass(all.x, all.count, 0, threshold);
    const auto enough = [=](Candidates c, float t) { return mass(c.x, c.count, 0, t) >= target; };
    threshold = greater(threshold, edge_of(filtered ? all : fewest(x, vocabulary, room, enough), enough));
  }
  return threshold;
}

// Step 9. Blocks of the running sum first, then tokens inside the block where it passes the target.
int32_t draw(const float* x, int32_t vocabulary, float threshold, double u) {
  const double target = u * mass(x, vocabulary, 0, threshold);
  double running = 0;
  for (int32_t i = 0; i < vocabulary; i += kSumBlock) {
    const int32_t count = vocabulary - i < kSumBlock ? vocabulary - i : kSumBlock;
    const double block = mass_block(x + i, count, 0, threshold);
    if (running + block <= target) {
      running += block;
      continue;
    }
    double inside = running;
    int32_t chosen = 0;
    for (int32_t j = 0; j < count; j += kLanes) {
      alignas(64) float p[kLanes];
      store(p, exp(load_logits(x + i + j, count - j < kLanes ? count - j : kLanes)));
      for (int32_t k = 0; k < kLanes && j + k < count; ++k) {
        if (p[k] == 0 || !(x[i + j + k] >= threshold)) continue;
        // Where rounding leaves the sum short of its target, the last kept token is the one.
        chosen = i + j + k;
        inside += p[k];
        if (inside > target) return chosen;
      }
    }
    return chosen;
  }
  return 0;
}

// Steps 2 to 9.
int32_t choose(const SampleArgs& a, int64_t row, const float* logits, int32_t vocabulary, float* x) {
  const int32_t first_bias = a.bias_start[row], last_bias = a.bias_start[row + 1];
  const bool greedy = !(a.temperature[row] > 0), listed = a.allow_start[row] < a.allow_start[row + 1];
  float* room = x + (vocabulary + kLanes - 1) / kLanes * kLanes;
  if (penalised(a, row) || first_bias < last_bias || listed) {
    for_lanes(vocabulary, [&](int32_t i, int32_t n) { store_upto(x + i, cleaned(load_upto(logits + i, n)), n); });
    if (penalised(a, row)) penalise(a, row, a.history + a.slot[row] * int64_t{2} * vocabulary, vocabulary, x);
    for (int32_t i = first_bias; i < last_bias; ++i) x[a.bias_token[i]] += a.bias_value[i];
    logits = listed ? only_allowed(a, row, x, vocabulary, room) : x;
  }
  const float top = greatest(logits, vocabulary);
  if (top == -kInfinity) return listed ? a.allow_token[a.allow_start[row]] : 0;
  if (greedy) return index_of(logits, vocabulary, top);
  // From the greatest down: the same set and the same ratios as with logit / temperature, and no overflow however cold it is.
  const vf shift = splat(top), temperature = splat(a.temperature[row]);
  for_lanes(vocabulary, [&](int32_t i, int32_t n) {
    store_upto(x + i, div(sub(cleaned(load_upto(logits + i, n)), shift), temperature), n);
  });
  const float threshold = threshold_of(a, row, x, vocabulary, room);
  const cpu::Philox random =
      cpu::philox(a.seed[2 * row], a.seed[2 * row + 1], {{static_cast<uint32_t>(a.step[row]), 0, 0, 0}});
  return draw(x, vocabulary, threshold, random.word[0] * 0x1p-32);
}

}  // namespace

void sample(Context* context, const SampleArgs& a) {
  const int32_t vocabulary = static_cast<int32_t>(a.logits.cols);
  cpu::parallel_for(context, a.logits.rows, [&](int64_t row, int32_t thread) {
    const float* logits = static_cast<const float*>(a.logits.data) + row * vocabulary;
    float* scratch = reinterpret_cast<float*>(context->scratch + thread * context->scratch_bytes);
    const int32_t token = a.forced[row] >= 0 ? a.forced[row] : choose(a, row, logits, vocabulary, scratch);
    a.token[row] = token;
    if (a.slot[row] >= 0) ++a.history[(a.slot[row] * int64_t{2} + 1) * vocabulary + token];
    report(a, row, logits, vocabulary, token, scratch);
  });
}

}  // namespace REDLLM_ISA_NAMESPACE

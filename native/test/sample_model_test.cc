// Rows as models give them: large vocabularies, a few tokens far above the rest or none at all, many biases, long lists. Filters that
// read a part of a row only must find in it what a sort of the whole finds.
#include "sample_random.h"

using namespace redllm;
using namespace redllm::test;

namespace {

enum Shape { kSure, kFlat, kTies, kEqual, kOpen, kShapes };

std::vector<float> model_logits(int32_t count, Shape shape, Random& random) {
  std::vector<float> x(static_cast<size_t>(count));
  const auto any = [&] { return static_cast<size_t>(random.integer(0, count - 1)); };
  const float middle = static_cast<float>(random.integer(-20, 20)), scale = shape == kFlat ? 0.3f : 2.5f;
  for (float& value : x) {
    value = 0;
    for (int i = 0; i < 6; ++i) value += random.real();
    value = shape == kEqual ? 1.25f : value * scale + middle;
    if (shape == kTies) value = std::round(value);
  }
  if (shape == kSure)
    for (int i = 0; i < 5; ++i) x[any()] = middle + 14 + 3 * random.real();
  if (random.integer(0, 3) == 0)
    for (int32_t i = 0; i < count / 3; ++i) x[any()] = -INFINITY;
  return x;
}

int32_t up_to(int64_t most, Random& random) {
  return static_cast<int32_t>(random.integer(1, most));
}

SampleCase model_case(Random& random) {
  const int32_t vocabularies[] = {4096, 9003, 33000};
  const int32_t vocabulary = vocabularies[random.integer(0, 2)], slots = 4;
  const auto any = [&] { return static_cast<int32_t>(random.integer(0, vocabulary - 1)); };
  SampleCase c(vocabulary, coin(random) ? 20 : 128, slots);
  for (int32_t& count : c.history) count = random.integer(0, 30) == 0 ? up_to(4, random) : 0;
  for (int32_t row = 0; row < slots; ++row) {
    const auto logits = model_logits(vocabulary, static_cast<Shape>(random.integer(0, kShapes - 1)), random);
    c.add_row(logits);
    if (random.integer(0, 2) == 0) c.slot.back() = row;
    const float temperatures[] = {0, 1, 0.7f, 0.1f, 1.5f, 1, 1};
    c.temperature.back() = temperatures[random.integer(0, 6)];
    if (random.integer(0, 2) == 0) c.top_k.back() = up_to(coin(random) ? 100 : vocabulary + 3, random);
    if (coin(random)) c.top_p.back() = std::fabs(random.real()) * (coin(random) ? 0.1f : 1) + (coin(random) ? 0.9f : 0);
    if (random.integer(0, 4) == 0) c.min_p.back() = std::fabs(random.real()) * (coin(random) ? 1 : 0.05f);
    if (coin(random)) c.repetition.back() = coin(random) ? 2 : 0.5f;
    if (coin(random)) c.presence.back() = static_cast<float>(random.integer(-4, 4)) / 4;
    // Sometimes the best token among them, and many of them twice.
    const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
    const int32_t biases = random.integer(0, 2) ? 0 : coin(random) ? up_to(5, random) : up_to(1500, random);
    for (int32_t i = 0; i < biases; ++i)
      c.add_bias(i == 0 ? static_cast<int32_t>(best) : any() / 2 * 2,
                 coin(random) ? -INFINITY : static_cast<float>(random.integer(-8, 8)));
    for (int32_t i = random.integer(0, 4) == 0 ? up_to(3000, random) : 0; i > 0; --i) c.allow(any());
    if (random.integer(0, 9) == 0) c.forced.back() = any();
    c.alternatives.back() = static_cast<int32_t>(random.integer(-1, c.max_alternatives));
    c.candidates.back() = row % 2;
    c.step.back() = up_to(5000, random);
    c.seed[2 * row] = static_cast<uint32_t>(random.next());
    c.seed[2 * row + 1] = static_cast<uint32_t>(random.next());
  }
  return c;
}

}  // namespace

int main() {
  const auto backends = every_backend();
  for (size_t i = 0; i < backends.size(); ++i) {
    begin(backends[i]->ops().name);
    Random random(11 + i % 2);
    for (int round = 0; round < rounds(*backends[i], 8, 12); ++round)
      check_sample(*backends[i], *backends[i ^ 1], model_case(random));
  }
  std::printf("%lld rows compared, %lld too close to call\n", static_cast<long long>(sampled().compared),
              static_cast<long long>(sampled().unclear));
  CHECK(sampled().unclear * 4 < sampled().compared);
  return report();
}

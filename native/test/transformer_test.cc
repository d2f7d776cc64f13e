// The whole forward pass on small random models, so that the sanitizers and the emulator see it: cuts of a request, other company
// and replays leave its logits as they are, bit for bit; a device gives those of the CPU within rounding; plans that leave their
// limits throw. Goldens are compared where Node drives (test/).
#include "transformer.h"

#include "cpu/backend.h"
#include "guarded.h"
#include "paper_models.h"

using namespace redllm;
using namespace redllm::test;

namespace {

const PaperSize kSmall{40, 72, 2, 16, 2, 101};
const StepLimits kLimits{64, 1, 64, 1, 1, 4, 64, 64};

std::vector<int32_t> tokens_of(int32_t count, int32_t seed) {
  Random random(seed);
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  for (int32_t& token : tokens) token = static_cast<int32_t>(random.integer(0, kSmall.vocabulary - 1));
  return tokens;
}

struct Cut {
  int32_t layers;                // of the encoder, a step
  std::vector<int32_t> lengths;  // of the prompt's pieces
};

std::vector<float> run(Model& model, bool encoder, int32_t prefix, const Cut& cut) {
  OneRow row(kLimits, encoder);
  model.transformer().keep(true);
  std::vector<int32_t> source = tokens_of(33, 1), prompt = tokens_of(37, 2);
  int32_t source_length = encoder ? 33 : 0, index = 0, next = 0;
  if (encoder) {
    for (int32_t layer = 0; layer < kSmall.layers; layer += cut.layers)
      row.encode(model, source, layer, layer + cut.layers);
  }
  for (int32_t length : cut.lengths) {
    next = row.decode(model, {prompt.begin() + index, prompt.begin() + index + length}, index, source_length, prefix);
    index += length;
  }
  for (int32_t step = 0; step < 5; ++step) next = row.generate(model, next, index++, source_length);
  return model.transformer().kept_logits();
}

// The logits on the CPU, to which a device's come close.
const std::vector<float>& expected_logits(bool encoder, DType compute) {
  static std::vector<float> known[2][2];
  std::vector<float>& logits = known[encoder][static_cast<int>(compute)];
  if (logits.empty()) {
    auto model = load_random(std::make_shared<cpu::Backend>(1), paper_model(kSmall, encoder), compute, kLimits,
                             OneRow::pages(kLimits));
    logits = run(*model, encoder, 0, {kSmall.layers, {37}});
  }
  return logits;
}

// What run() comes to: 33 source tokens, 37 of a prompt and 5 more, with samples after the prompt and after each of these.
void check_counters(const Counters& counters, bool encoder) {
  const uint64_t width = kSmall.width, heads = 32, layers = kSmall.layers, source = encoder ? 33 : 0, target = 37 + 5;
  const uint64_t self = 4 * width * heads, feed_forward = 3 * width * kSmall.inner;
  uint64_t products = layers * (source + target) * (self + feed_forward) + 6 * width * kSmall.vocabulary;
  if (encoder) products += layers * (source + target) * 2 * width * heads;
  const uint64_t pairs = source * source + target * (target + 1) / 2 + target * source;
  CHECK(counters.products == products);
  CHECK(counters.attention == layers * pairs * 2 * heads);
}

// What the backend gives with an encoder, and without one.
std::vector<std::vector<float>> test_cuts(const std::shared_ptr<Backend>& backend, DType compute) {
  std::vector<std::vector<float>> all;
  for (bool encoder : {true, false}) {
    auto model = load_random(backend, paper_model(kSmall, encoder), compute, kLimits, OneRow::pages(kLimits));
    std::vector<float> whole = run(*model, encoder, 0, {kSmall.layers, {37}});
    const Counters once = model->transformer().counters();
    check_counters(once, encoder);
    CHECK(whole.size() == static_cast<size_t>(kSmall.vocabulary));
    for (float logit : whole) CHECK(std::isfinite(logit));
    // The same steps again, and again: a device records the second and replays the third.
    for (int round = 0; round < (on_device(*backend) ? 2 : 0); ++round)
      CHECK(run(*model, encoder, 0, {kSmall.layers, {37}}) == whole);
    CHECK(run(*model, encoder, 0, {1, {1, 16, 20}}) == whole);
    // However it is cut, and recorded or not, there is the same to compute, but for the samples of two more cuts.
    const uint64_t times = on_device(*backend) ? 4 : 2, head = static_cast<uint64_t>(kSmall.vocabulary) * kSmall.width;
    CHECK(model->transformer().counters().products == times * once.products + 2 * head);
    CHECK(model->transformer().counters().attention == times * once.attention);
    if (!emulated(*backend)) CHECK(run(*model, encoder, 0, {1, std::vector<int32_t>(37, 1)}) == whole);
    CHECK(run(*model, encoder, 37, {1, {37}}) != whole);
    const std::vector<float>& want = expected_logits(encoder, compute);
    CHECK(relative_error(whole.data(), want.data(), want.size()) < (compute == DType::f32 ? 1e-4 : 3e-2));
    all.push_back(whole);
  }
  return all;
}

// Rows of a model without an encoder that run together, greedily; row i has `pages` pages from i * pages on.
class Rows {
 public:
  Rows(int32_t rows, int32_t pages) : rows_(rows) {
    const size_t n = static_cast<size_t>(rows);
    for (int32_t page = 0; page < rows * pages; ++page) pages_.push_back(page);
    for (int32_t row = 0; row <= rows; ++row) page_start_.push_back(row * pages);
    zeros_.resize(2 * n + 1);
    minus_.assign(n, -1);
    nothing_.resize(n);
    one_.assign(n, 1);
    token_.resize(n), rank_.resize(n), logprob_.resize(n);
    top_token_.resize(4 * n), top_logprob_.resize(4 * n);
    index_.resize(n);
    plan_.counts = counts_;
    plan_.rowIndex = plan_.rowPosition = index_.data();
    plan_.rowPrefix = plan_.rowSourceLength = plan_.topK = plan_.step = plan_.candidates = zeros_.data();
    plan_.biasStart = plan_.allowStart = zeros_.data();
    plan_.rowGroup = plan_.sampleSlot = plan_.forced = plan_.alternatives = minus_.data();
    plan_.rowPageStart = page_start_.data();
    plan_.rowPages = pages_.data();
    plan_.temperature = plan_.minP = plan_.presence = plan_.frequency = nothing_.data();
    plan_.topP = plan_.repetition = one_.data();
    seed_.resize(2 * n);
    plan_.seed = seed_.data();
    plan_.outToken = token_.data();
    plan_.outRank = rank_.data();
    plan_.outTopToken = top_token_.data();
    plan_.outLogprob = logprob_.data();
    plan_.outTopLogprob = top_logprob_.data();
  }

  // The logits of every row after its prompt and `steps` tokens more.
  std::vector<float> run(Model& model, const std::vector<std::vector<int32_t>>& prompts, int32_t steps) {
    model.transformer().keep(true);
    std::vector<std::vector<int32_t>> tokens = prompts;
    std::fill(index_.begin(), index_.end(), 0);
    for (int32_t s = 0; s <= steps; ++s) {
      step(model, tokens, s > 0);
      for (size_t i = 0; i < tokens.size(); ++i) {
        index_[i] += static_cast<int32_t>(tokens[i].size());
        tokens[i] = {token_[i]};
      }
    }
    return model.transformer().kept_logits();
  }

 private:
  void step(Model& model, const std::vector<std::vector<int32_t>>& tokens, bool generated) {
    std::vector<int32_t> start = {0}, all, last;
    for (const auto& row : tokens) {
      all.insert(all.end(), row.begin(), row.end());
      start.push_back(static_cast<int32_t>(all.size()));
      last.push_back(start.back() - 1);
    }
    counts_[1] = counts_[2] = rows_;
    counts_[5] = generated ? rows_ : 0;
    plan_.rowStart = start.data();
    plan_.tokens = all.data();
    plan_.sampleToken = last.data();
    model.transformer().launch(plan_);
    model.transformer().collect(plan_);
  }

  int32_t rows_, counts_[6] = {};
  std::vector<int32_t> pages_, page_start_, zeros_, minus_, token_, rank_, top_token_, index_;
  std::vector<uint32_t> seed_;
  std::vector<float> nothing_, one_, logprob_, top_logprob_;
  Plan plan_;
};

// Many rows together, and each of them alone: the same bits, in eager steps and in replayed ones.
void test_company(const std::shared_ptr<Backend>& backend, DType compute) {
  const int32_t rows = emulated(*backend) ? 18 : 64, pages = 4, steps = 4;
  const StepLimits limits{rows * 16, rows, 16, 1, rows, 4, 16, 40};
  auto model = load_random(backend, paper_model(kSmall, false), compute, limits, rows * pages);
  std::vector<std::vector<int32_t>> prompts;
  for (int32_t row = 0; row < rows; ++row) prompts.push_back(tokens_of(1 + row * 7 % 15, row));
  Rows together(rows, pages);
  const auto all = together.run(*model, prompts, steps);
  CHECK(all.size() == static_cast<size_t>(rows * kSmall.vocabulary));
  for (int round = 0; round < 2; ++round) CHECK(together.run(*model, prompts, steps) == all);
  for (int32_t row = 0; row < rows; row += emulated(*backend) ? 5 : 1) {
    const auto alone = Rows(1, pages).run(*model, {prompts[static_cast<size_t>(row)]}, steps);
    CHECK(std::equal(alone.begin(), alone.end(), all.begin() + row * kSmall.vocabulary));
  }
}

// A step that a device replays counts as one that it runs.
void test_replayed_counters(const std::shared_ptr<Backend>& backend) {
  auto model = load_random(backend, paper_model(kSmall, true), DType::f32, kLimits, OneRow::pages(kLimits));
  OneRow row(kLimits, true);
  row.encode(*model, tokens_of(33, 1), 0, kSmall.layers);
  for (int32_t index = 0; index < 6; ++index) {
    const Counters before = model->transformer().counters();
    row.generate(*model, 7, index, 33);
    const Counters after = model->transformer().counters();
    const uint64_t width = kSmall.width, heads = 32, layers = kSmall.layers;
    CHECK(after.products - before.products ==
          layers * (6 * width * heads + 3 * width * kSmall.inner) + width * kSmall.vocabulary);
    CHECK(after.attention - before.attention == layers * (static_cast<uint64_t>(index) + 1 + 33) * 2 * heads);
  }
}

void test_limits() {
  auto backend = std::make_shared<cpu::Backend>(1);
  auto model = load_random(backend, paper_model(kSmall, true), DType::f32, kLimits, OneRow::pages(kLimits));
  OneRow row(kLimits, true);
  CHECK(throws([&] { row.encode(*model, tokens_of(65, 1), 0, 2); }));
  CHECK(throws([&] { row.encode(*model, {0, 101}, 0, 2); }));
  CHECK(throws([&] { row.encode(*model, {0, 1}, 1, 3); }));
  row.encode(*model, {0, 1}, 0, 2);
  CHECK(throws([&] { row.decode(*model, {-1}, 0, 2); }));
  CHECK(throws([&] { row.decode(*model, {101}, 0, 2); }));
  CHECK(throws([&] { row.decode(*model, {1}, 64, 2); }));
  CHECK(throws([&] { row.decode(*model, {1}, 0, 2, 2); }));
  CHECK(throws([&] { model->transformer().collect(row.plan); }));
  CHECK(row.decode(*model, {1}, 0, 2) >= 0);
}

void test_unserved_sizes() {
  auto backend = std::make_shared<cpu::Backend>(1);
  PaperSize many = kSmall;
  many.vocabulary = kMaxVocabulary + 1;
  CHECK(throws([&] { Model(backend, paper_model(many, false), DType::f32, {}, kLimits); }));
  PaperSize wide = kSmall;
  wide.inner = (1 << 18) + 1;
  CHECK(throws([&] { Model(backend, paper_model(wide, false), DType::f32, {}, kLimits); }));
}

}  // namespace

int main() {
  std::vector<std::shared_ptr<Backend>> backends;
  for (auto& backend : every_backend()) backends.push_back(std::move(backend));
  for (DType compute : {DType::f32, DType::bf16})
    for (size_t i = 0; i < backends.size(); i += 2) {
      begin(backends[i]->ops().name);
      CHECK(test_cuts(backends[i], compute) == test_cuts(backends[i + 1], compute));
      test_company(backends[i], compute);
      test_replayed_counters(backends[i]);
    }
  begin("limits");
  test_limits();
  test_unserved_sizes();
  return report();
}

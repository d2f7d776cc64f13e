// Whole steps at the paper's 150M shapes (arXiv 2510.26622, table 1) beside what the machine gave in the same run: the encoder
// pass and the prompt of a decoder-only model against the rate of a packed product, a decode step against the rate at which
// memory is read.
//
//   model_bench [--json FILE]
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "bench/ceilings.h"
#include "bench/figures.h"
#include "cpu/backend.h"
#include "cpu/isa.h"
#include "host_timing.h"
#include "test/paper_models.h"

using namespace redllm;
using namespace redllm::test;
using bench::median;

namespace {

constexpr PaperSize kRedllm{1024, 4096, 8, 128, 3, 32768};
constexpr PaperSize kDecllm{1024, 4096, 8, 128, 8, 32768};
constexpr int32_t kSource = 512;
constexpr int kRepeats = 15;

struct Figure {
  std::string what;
  const char* unit;
  double value, ceiling;
};

template <typename Body>
double seconds(Body body) {
  double start = now();
  body();
  return now() - start;
}

double layer_weights(const PaperSize& size) {
  return (4.0 * size.width + 3.0 * size.inner) * size.width;
}

// FLOP of a stack's pass over n tokens that all see each other (or half of that, causally): products and attention.
double stack_flop(const PaperSize& size, double n, bool causal) {
  double attention = 4.0 * n * n * size.width * (causal ? 0.5 : 1);
  return size.layers * (2 * n * layer_weights(size) + attention);
}

class Bench {
 public:
  Bench(DType compute, int32_t threads) : backend_(std::make_shared<cpu::Backend>(threads)), compute_(compute) {
    limits_ = {kSource, 1, kSource, 1, 1, 1, kSource, 2 * kSource};
    redllm_ = load_random(backend_, paper_model(kRedllm, true), compute, limits_, OneRow::pages(limits_));
    decllm_ = load_random(backend_, paper_model(kDecllm, false), compute, limits_, OneRow::pages(limits_));
    for (int32_t i = 0; i < kSource; ++i) source_.push_back(3 + i * 37 % 32000);
    const Ops& ops = backend_->ops();
    weight_ = {nullptr, compute, 4096, 1024, false};
    weight_.data = ops.allocate(backend_->context(), ops.weight_bytes(compute, weight_.n, weight_.k, false));
    x_ = {ops.allocate(backend_->context(), kSource * 1024 * 4), compute, kSource, 1024};
    out_ = {ops.allocate(backend_->context(), kSource * 4096 * 4), DType::f32, kSource, 4096};
    stream_ = static_cast<char*>(ops.allocate(backend_->context(), kStreamBytes));
    std::fill_n(stream_, kStreamBytes, 1);
  }

  std::vector<Figure> run() {
    OneRow red(limits_, true), dec(limits_, false);
    std::vector<double> product, stream, encode, red_step, prompt, dec_step;
    for (int i = -2; i < kRepeats; ++i) {  // the first two warm up
      auto note = [&](std::vector<double>& into, double value) {
        if (i >= 0) into.push_back(value);
      };
      note(product, seconds([&] { multiply(); }));
      note(encode, seconds([&] { red.encode(*redllm_, source_, 0, kRedllm.layers); }));
      note(prompt, seconds([&] { dec.decode(*decllm_, source_, 0, 0); }));
      note(stream, seconds([&] { read_stream(); }));
      note(red_step, seconds([&] { red.generate(*redllm_, 5, i + 2, kSource); }));
      note(dec_step, seconds([&] { dec.generate(*decllm_, 5, kSource + i + 2, 0); }));
    }
    double element = static_cast<double>(size_of(compute_)), d = kRedllm.width;
    double matrix = 2.0 * kSource * 4096 * 1024 / median(product) / 1e9;
    double memory = kStreamBytes / median(stream) / 1e9;
    // The source's keys and values of each decoder layer are part of its pass.
    double encode_flop = stack_flop(kRedllm, kSource, false) + kRedllm.layers * 2.0 * kSource * 2 * d * d;
    double head = static_cast<double>(kRedllm.vocabulary) * d;
    double red_bytes =
        element * (kRedllm.layers * (layer_weights(kRedllm) + 2 * d * d) + head + kRedllm.layers * 2 * kSource * d);
    double dec_bytes = element * (kDecllm.layers * layer_weights(kDecllm) + head + kDecllm.layers * 2 * kSource * d);
    double prompt_flop = stack_flop(kDecllm, kSource, true) + 2 * head;
    std::string type = compute_ == DType::f32 ? "float32" : "bfloat16";
    return {{type + ": packed product, 512 x 4096 x 1024", "GFLOP/s", matrix, 0},
            {type + ": memory read", "GB/s", memory, 0},
            {type + ": RedLLM 150M encoder pass, 512 tokens", "GFLOP/s", encode_flop / median(encode) / 1e9, matrix},
            {type + ": DecLLM 150M prompt, 512 tokens", "GFLOP/s", prompt_flop / median(prompt) / 1e9, matrix},
            {type + ": RedLLM 150M decode step, batch 1", "GB/s", red_bytes / median(red_step) / 1e9, memory},
            {type + ": DecLLM 150M decode step, batch 1", "GB/s", dec_bytes / median(dec_step) / 1e9, memory},
            {type + ": RedLLM 150M decode step, batch 1", "ms", median(red_step) * 1e3, 0},
            {type + ": DecLLM 150M decode step, batch 1", "ms", median(dec_step) * 1e3, 0}};
  }

 private:
  static constexpr int64_t kStreamBytes = 256 << 20;

  void multiply() {
    backend_->ops().matmul(backend_->context(),
                           {RowKind::prefill, x_, weight_, nullptr, Activation::none, 1, false, out_});
  }

  void read_stream() {
    int32_t threads = backend_->threads();
    time_threads(threads, [&](int32_t thread) {
      int64_t part = kStreamBytes / threads / 256 * 256;
      uint64_t sum = read_all(stream_ + thread * part, part);
      asm volatile("" ::"r"(sum));
    });
  }

  std::shared_ptr<cpu::Backend> backend_;
  DType compute_;
  StepLimits limits_;
  std::unique_ptr<Model> redllm_, decllm_;
  std::vector<int32_t> source_;
  Weight weight_;
  Tensor x_, out_;
  char* stream_;
};

}  // namespace

int main(int argc, char** argv) {
  const char* json = argc > 2 && std::strcmp(argv[1], "--json") == 0 ? argv[2] : nullptr;
  int32_t threads = cpu::default_threads();
  std::string figures;
  std::printf("%s, %d threads, medians of %d\n", cpu::isa_name(cpu::best_isa()), threads, kRepeats);
  for (DType compute : {DType::bf16, DType::f32}) {
    for (const Figure& figure : Bench(compute, threads).run()) {
      double share = figure.ceiling > 0 ? figure.value / figure.ceiling : 0;
      std::printf("%-52s %8.1f %-8s", figure.what.c_str(), figure.value, figure.unit);
      if (share > 0) std::printf("%5.0f %% of the ceiling", 100 * share);
      std::printf("\n");
      char line[256];
      std::snprintf(
          line, sizeof line,
          "%s\n  {\"what\": \"%s\", \"threads\": %d, \"unit\": \"%s\", \"median\": %.3f, \"of_ceiling\": %.3f}",
          figures.empty() ? "" : ",", figure.what.c_str(), threads, figure.unit, figure.value, share);
      figures += line;
    }
  }
  if (json != nullptr) std::ofstream(json) << "[" << figures << "\n]\n";
  return 0;
}

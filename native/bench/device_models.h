// Whole steps of the paper's 1B models (arXiv 2510.26622, table 1) on a device: random weights, batch 1.
#pragma once

#include "bench/device.h"
#include "bench/figures.h"
#include "test/paper_models.h"

namespace redllm::bench {

class ModelBench {
 public:
  ModelBench(const Device& device, Figures& figures, const char* name, const test::PaperSize& size, bool encoder)
      : device_(device),
        figures_(figures),
        name_(name),
        size_(size),
        encoder_(encoder),
        source_(device.tiny ? 20 : 512) {
    const int32_t most = source_ + kSteps * 24 + 64;
    limits_ = {source_, 1, source_, 1, 1, 1, source_, most};
    model_ = test::load_random(device.backend, test::paper_model(size, encoder), DType::bf16, limits_,
                               test::OneRow::pages(limits_));
    for (int32_t i = 0; i < source_; ++i) tokens_.push_back(3 + i * 37 % (size.vocabulary - 3));
  }

  void run() {
    test::OneRow row(limits_, encoder_);
    std::vector<double> first, step, ahead;
    int32_t index = 0;
    const int repeats = device_.tiny ? 2 : 9;
    for (int i = -2; i < repeats; ++i) {  // the first two warm up
      const double start = now();
      encoder_ ? row.encode(*model_, tokens_, 0, size_.layers) : void(row.decode(*model_, tokens_, 0, 0));
      if (i >= 0) first.push_back(now() - start);
    }
    index = encoder_ ? 0 : source_;
    const int32_t length = encoder_ ? source_ : 0, steps = device_.tiny ? 3 : kSteps;
    for (int i = -1; i < repeats; ++i) {
      double start = now();
      int32_t token = 5;
      for (int32_t s = 0; s < steps; ++s) token = row.generate(*model_, token, index++, length);
      if (i >= 0) step.push_back((now() - start) / steps);
      start = now();
      row.generate_ahead(*model_, token, index, length, steps);
      index += steps;
      if (i >= 0) ahead.push_back((now() - start) / steps);
    }
    // Weights of the decoder and keys and values so far must be read once a step.
    const double d = size_.width, layer = (4 * d + 3 * size_.inner) * d + (encoder_ ? 2 * d * d : 0);
    const double keys = encoder_ ? source_ + index / 2.0 : source_ + (index - source_) / 2.0;
    const double bytes = 2 * (size_.layers * layer + double(size_.vocabulary) * d + size_.layers * 2 * keys * d);
    const std::string text =
        name_ + (encoder_ ? ", encoder pass of " : ", prompt of ") + std::to_string(source_) + " tokens";
    const double flop = size_.layers * (2.0 * source_ * ((4 * d + 3 * size_.inner) * d + (encoder_ ? 2 * d * d : 0)) +
                                        4.0 * source_ * source_ * d * (encoder_ ? 1 : 0.5));
    figures_.add_rate(text, "TFLOP/s", first, flop, 1e12);
    figures_.add_rate(name_ + ", decode step at batch 1, one at a time", "GB/s", step, bytes, 1e9);
    figures_.add_rate(name_ + ", decode step at batch 1, one ahead", "GB/s", ahead, bytes, 1e9);
  }

 private:
  static constexpr int32_t kSteps = 24;

  const Device& device_;
  Figures& figures_;
  const std::string name_;
  const test::PaperSize size_;
  const bool encoder_;
  const int32_t source_;
  StepLimits limits_;
  std::unique_ptr<Model> model_;
  std::vector<int32_t> tokens_;
};

inline void bench_models(const Device& device, Figures& figures) {
  const test::PaperSize red =
      device.tiny ? test::PaperSize{64, 128, 2, 32, 2, 101} : test::PaperSize{2048, 8192, 16, 128, 7, 32768};
  test::PaperSize dec = red;
  if (!device.tiny) dec.layers = 16;
  ModelBench(device, figures, "RedLLM 1B", red, true).run();
  ModelBench(device, figures, "DecLLM 1B", dec, false).run();
}

}  // namespace redllm::bench

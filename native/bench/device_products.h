// Products on a device: few rows on matrices that no cache holds, many rows against the tensor cores, and the small ops of a step.
#pragma once

#include "bench/device.h"
#include "bench/figures.h"
#include "test/sample_case.h"

namespace redllm::bench {

// Matrices of equal noise, each in memory of its own, and rows to multiply.
class ProductBench {
 public:
  ProductBench(const Device& device, Figures& figures, DType type, int32_t n, int32_t k, bool gated)
      : device_(device),
        figures_(figures),
        type_(type),
        n_(n),
        k_(k),
        gated_(gated),
        bytes_(static_cast<double>(n) * k * static_cast<double>(size_of(type))),
        values_(test::Random(4).reals(static_cast<size_t>(n) * k)),
        matrices_(device.tiny ? 2 : static_cast<int32_t>(std::clamp(std::ceil(260e6 / bytes_), 1.0, 32.0))) {
    for (float& value : values_) value /= std::sqrt(static_cast<float>(k));
    for (int32_t i = 0; i < matrices_; ++i) {
      memory_.push_back(std::make_unique<Buffer>(device, device.ops().weight_bytes(type, n, k, gated)));
      device.ops().pack(device.context(), {weight(i), 0, n, values_.data(), DType::f32});
    }
    device.wait();
  }

  void run(RowKind kind, int32_t rows) {
    const auto x_host = test::Random(6).reals(static_cast<size_t>(rows) * k_);
    std::vector<uint16_t> half;
    for (float value : x_host) half.push_back(test::bf16_of(value));
    Buffer x(device_, static_cast<uint64_t>(rows) * k_ * size_of(type_));
    type_ == DType::bf16 ? x.upload(half.data(), 0, half.size() * 2) : x.upload(x_host.data(), 0, x_host.size() * 4);
    const int32_t columns = gated_ ? n_ / 2 : n_;
    const Buffer out(device_, static_cast<uint64_t>(rows) * columns * 4);
    const auto launch = [&](int i) {
      device_.ops().matmul(device_.context(), {kind,
                                               {x.as<char>(), type_, rows, k_},
                                               weight(i),
                                               nullptr,
                                               gated_ ? Activation::silu : Activation::none,
                                               1,
                                               false,
                                               {out.as<char>(), DType::f32, rows, columns}});
    };
    launch(0);
    check(out, x_host, rows - 1, columns);
    char what[160];
    std::snprintf(what, sizeof what, "product, %s, %s, %d rows, %d x %d%s, %d in turn",
                  kind == RowKind::decode ? "decode" : "prefill", type_ == DType::bf16 ? "bf16" : "f32", rows, n_, k_,
                  gated_ ? " gated" : "", matrices_);
    const auto seconds = time_launches(device_, matrices_, launch);
    if (kind == RowKind::decode) {
      figures_.add_rate(what, "GB/s", seconds, bytes_, 1e9);
    } else {
      figures_.add_rate(what, "TFLOP/s", seconds, 2.0 * rows * n_ * k_, 1e12);
    }
  }

 private:
  Weight weight(int32_t i) const { return {memory_[static_cast<size_t>(i)]->as<char>(), type_, n_, k_, gated_}; }

  // A few outputs of one row against the sum in double.
  void check(const Buffer& out, const std::vector<float>& x, int32_t row, int32_t columns) {
    const auto got =
        test::fetched<float>(*device_.backend, out.as<float>() + int64_t{row} * columns, static_cast<size_t>(columns));
    std::vector<double> want, some;
    for (int32_t c = 0; c < columns; c += columns / 16 + 1) {
      const auto sum = [&](int32_t w) {
        double total = 0;
        for (int32_t i = 0; i < k_; ++i)
          total += double(test::rounded(x[static_cast<size_t>(row) * k_ + i], type_)) *
                   double(test::rounded(values_[static_cast<size_t>(w) * k_ + i], type_));
        return total;
      };
      const double y = sum(c);
      want.push_back(gated_ ? y / (1 + std::exp(-y)) * sum(columns + c) : y);
      some.push_back(got[static_cast<size_t>(c)]);
    }
    CHECK(test::relative_error(some.data(), want.data(), want.size()) < 1e-4);
  }

  const Device& device_;
  Figures& figures_;
  const DType type_;
  const int32_t n_, k_;
  const bool gated_;
  const double bytes_;
  std::vector<float> values_;
  const int32_t matrices_;
  std::vector<std::unique_ptr<Buffer>> memory_;
};

// The ceiling of arithmetic as this library reaches it: cuBLASLt's rate, where that was found.
inline void bench_matrix_rate(const Device& device, Figures& figures) {
  const int32_t size = device.tiny ? 64 : 8192;
  ProductBench(device, figures, DType::bf16, size, size, false).run(RowKind::prefill, size);
}

inline void bench_products(const Device& device, Figures& figures) {
  struct Shape {
    int32_t n, k;
    bool gated;
  };
  const std::vector<Shape> shapes = device.tiny ? std::vector<Shape>{{96, 64, false}, {64, 128, true}}
                                                : std::vector<Shape>{{4096, 2048, false},
                                                                     {2048, 8192, false},
                                                                     {4096, 4096, false},
                                                                     {16384, 2048, true},
                                                                     {32768, 2048, false}};
  for (const Shape& shape : shapes) {
    ProductBench bench(device, figures, DType::bf16, shape.n, shape.k, shape.gated);
    for (const int32_t rows : {1, 4, 16, 64, 256})
      if (!device.tiny || rows < 16) bench.run(RowKind::decode, rows);
    for (const int32_t rows : {512, 4096})
      if (!device.tiny) bench.run(RowKind::prefill, rows);
  }
  bench_matrix_rate(device, figures);
  ProductBench wide(device, figures, DType::f32, device.tiny ? 64 : 4096, device.tiny ? 64 : 4096, false);
  for (const int32_t rows : {1, 16}) wide.run(RowKind::decode, rows);
  wide.run(RowKind::prefill, device.tiny ? 8 : 1024);
}

// Copies of whole pages: our own kernel's share of the copy bandwidth.
inline void bench_copy(const Device& device, Figures& figures) {
  const int32_t heads = 16, dim = 128, count = device.tiny ? 4 : 4096;
  const uint64_t page = device.ops().page_bytes(DType::bf16, 1, heads, dim);
  const Buffer memory(device, page * 2 * static_cast<uint64_t>(count));
  std::vector<int32_t> order;
  for (int32_t i = 0; i < 2 * count; ++i) order.push_back(i);
  const Buffer pages(device, order);
  const CopyPagesArgs a = {{memory.as<char>(), DType::bf16, 2 * count, 1, heads, dim},
                           pages.as<int32_t>(),
                           pages.as<int32_t>() + count,
                           count};
  figures.add_rate("copy of pages, bytes read and written", "GB/s",
                   time_launches(device, 1, [&](int) { device.ops().copy_pages(device.context(), a); }),
                   2.0 * static_cast<double>(page) * count, 1e9);
}

inline void bench_norm(const Device& device, Figures& figures, int32_t rows, int32_t width) {
  const Buffer x(device, test::Random(7).reals(static_cast<size_t>(rows) * width)),
      gain(device, test::Random(8).reals(width)), out(device, static_cast<uint64_t>(rows) * width * 2);
  const NormArgs a = {{x.as<char>(), DType::f32, rows, width},
                      {out.as<char>(), DType::bf16, rows, width},
                      {},
                      NormKind::rms,
                      1e-6f,
                      gain.as<float>(),
                      nullptr,
                      false};
  const auto seconds = time_launches(device, 16, [&](int) { device.ops().norm(device.context(), a); });
  std::vector<double> microseconds;
  for (double s : seconds) microseconds.push_back(s * 1e6);
  figures.add("norm, " + std::to_string(rows) + " x " + std::to_string(width), "us", microseconds);
}

// Rows of one kind: greedy, top-k and top-p, top-p alone, with penalties and 20 alternatives.
inline void bench_sample(const Device& device, Figures& figures, int32_t rows, int32_t vocabulary) {
  const char* const names[] = {"greedy", "top-k 50, top-p 0.9", "top-p 0.95", "top-p, penalties, 20 best"};
  for (int kind = 0; kind < 4; ++kind) {
    test::SampleCase c(vocabulary, 20, rows);
    for (int32_t row = 0; row < rows; ++row) {
      auto logits = test::Random(static_cast<uint64_t>(row) + 9).reals(static_cast<size_t>(vocabulary));
      for (float& x : logits) x *= 8;
      c.add_row(logits);
      c.seed[2 * row] = static_cast<uint32_t>(row);
      if (kind == 0) c.temperature.back() = 0;
      if (kind == 1) c.top_k.back() = 50, c.top_p.back() = 0.9f;
      if (kind >= 2) c.top_p.back() = 0.95f;
      if (kind == 3)
        c.slot.back() = row, c.repetition.back() = 1.1f, c.presence.back() = 0.5f, c.alternatives.back() = 20;
    }
    test::SampleResult result(c);
    SampleArgs a = sample_args(c, result, c.logits);
    std::vector<std::unique_ptr<Buffer>> memory;
    const auto move = [&](auto& pointer, size_t count) {
      memory.push_back(std::make_unique<Buffer>(device, std::max<uint64_t>(count, 1) * 4));
      if (count > 0) memory.back()->upload(pointer, 0, count * 4);
      pointer = memory.back()->as<std::remove_const_t<std::remove_pointer_t<std::decay_t<decltype(pointer)>>>>();
    };
    const size_t n = static_cast<size_t>(rows), best = n * 20;
    const float* logits = c.logits.data();
    move(logits, c.logits.size());
    a.logits.data = const_cast<float*>(logits);
    move(a.history, c.history.size());
    for (auto* array : {&a.slot, &a.top_k, &a.step, &a.forced, &a.alternatives, &a.candidates}) move(*array, n);
    for (auto* array : {&a.temperature, &a.top_p, &a.min_p, &a.repetition, &a.presence, &a.frequency}) move(*array, n);
    move(a.seed, 2 * n);
    for (auto* array : {&a.bias_start, &a.allow_start}) move(*array, n + 1);
    for (auto* array : {&a.bias_token, &a.allow_token}) move(*array, 0);
    move(a.bias_value, 0);
    for (auto* array : {&a.token, &a.rank}) move(*array, n);
    move(a.logprob, n);
    move(a.top_token, best);
    move(a.top_logprob, best);
    const auto seconds = time_launches(device, 1, [&](int) { device.ops().sample(device.context(), a); });
    std::vector<double> microseconds;
    for (double s : seconds) microseconds.push_back(s * 1e6);
    figures.add(
        "sample, " + std::string(names[kind]) + ", " + std::to_string(rows) + " x " + std::to_string(vocabulary), "us",
        microseconds);
  }
}

inline void bench_small(const Device& device, Figures& figures) {
  bench_copy(device, figures);
  for (const int32_t rows : {1, 64, 4096})
    if (!device.tiny || rows == 1) bench_norm(device, figures, rows, device.tiny ? 64 : 2048);
  for (const int32_t rows : {1, 64}) bench_sample(device, figures, device.tiny ? 2 : rows, device.tiny ? 500 : 32768);
}

}  // namespace redllm::bench

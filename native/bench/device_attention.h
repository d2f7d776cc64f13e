// Attention on a device: encoder and prompt shapes at 16k tokens, decode steps over 200 MB of keys and values and more.
#pragma once

#include "bench/device.h"
#include "bench/figures.h"
#include "test/guarded.h"

namespace redllm::bench {

// K and V of `tokens` tokens in pages of one layer, in shuffled order, from rows of noise that repeat.
class NoisePool {
 public:
  NoisePool(const Device& device, const std::vector<float>& host, const Buffer& rows, int32_t rows_of_noise,
            int64_t tokens, int32_t kv_heads, int32_t head_dim)
      : kv_heads_(kv_heads), head_dim_(head_dim), noise_rows_(rows_of_noise), host_(host) {
    const int32_t pages = static_cast<int32_t>(tokens / kPageTokens);
    test::Random random(5);
    table.resize(static_cast<size_t>(pages));
    for (int32_t i = 0; i < pages; ++i) table[i] = i;
    table = test::shuffled(table, random);
    pool = {nullptr, DType::bf16, pages, 1, kv_heads, head_dim};
    memory_ = std::make_unique<Buffer>(
        device, device.ops().page_bytes(DType::bf16, 1, kv_heads, head_dim) * static_cast<uint64_t>(pages));
    pool.data = memory_->as<char>();
    std::vector<int32_t> page(static_cast<size_t>(tokens)), in_page(page.size());
    for (int64_t t = 0; t < tokens; ++t)
      page[t] = table[t / kPageTokens], in_page[t] = static_cast<int32_t>(t % kPageTokens);
    Buffer pages_of(device, page), places(device, in_page);
    for (int64_t first = 0; first < tokens; first += rows_of_noise) {
      const int64_t count = std::min<int64_t>(rows_of_noise, tokens - first);
      AppendArgs a = {};
      a.x = {rows.as<float>(), DType::f32, count, int64_t{2} * kv_heads * head_dim};
      a.kv_heads = kv_heads;
      a.head_dim = head_dim;
      a.pool = pool;
      a.page = pages_of.as<int32_t>() + first;
      a.in_page = places.as<int32_t>() + first;
      device.ops().append(device.context(), a);
    }
    device.wait();
  }
  // What the pages hold of token t, before it is rounded.
  const float* key(int64_t t, int32_t head) const { return row(t) + head * head_dim_; }
  const float* value(int64_t t, int32_t head) const { return row(t) + (kv_heads_ + head) * head_dim_; }

  PagePool pool;
  std::vector<int32_t> table;  // page i of the tokens' order

 private:
  const float* row(int64_t t) const { return host_.data() + t % noise_rows_ * 2 * kv_heads_ * head_dim_; }
  int32_t kv_heads_, head_dim_, noise_rows_;
  const std::vector<float>& host_;
  std::unique_ptr<Buffer> memory_;
};

class AttentionBench {
 public:
  AttentionBench(const Device& device, Figures& figures)
      : device_(device),
        figures_(figures),
        tokens_(device.tiny ? 64 : 16384),
        hidden_(device.tiny ? 128 : 2048),
        q_host_(test::Random(1).reals(static_cast<size_t>(tokens_) * 2 * hidden_)),
        kv_host_(test::Random(2).reals(static_cast<size_t>(tokens_) * 2 * hidden_)),
        q_(device, q_host_),
        kv_(device, kv_host_),
        out_(device, static_cast<uint64_t>(tokens_) * 2 * hidden_ * 2) {}

  enum class Mask { full, causal, prefix };

  // All 16k tokens as sequences of `length`; prefix: the first half of each sees itself both ways.
  void forward(int32_t length, int32_t head_dim, Mask mask, bool relative_bias) {
    const int32_t heads = hidden_ / head_dim, sequences = tokens_ / length;
    const NoisePool keys(device_, kv_host_, kv_, tokens_, tokens_, heads, head_dim);
    std::vector<int32_t> start, sequence, index, left, right, page_start;
    double visible = 0;
    for (int32_t s = 0; s < sequences; ++s) {
      start.push_back(s * length);
      page_start.push_back(s * length / kPageTokens);
      for (int32_t t = 0; t < length; ++t) {
        sequence.push_back(s);
        index.push_back(t);
        left.push_back(0);
        right.push_back(mask == Mask::full ? length : mask == Mask::causal ? t + 1 : std::max(t + 1, length / 2));
        visible += right.back();
      }
    }
    start.push_back(tokens_);
    constexpr int32_t kReach = 128;  // T5's buckets end there
    std::vector<float> bias = test::Random(3).reals(static_cast<size_t>(heads) * (2 * kReach + 1));
    const Buffer b_start(device_, start), b_sequence(device_, sequence), b_index(device_, index), b_left(device_, left),
        b_right(device_, right), b_page_start(device_, page_start), b_pages(device_, keys.table), b_bias(device_, bias);
    AttentionArgs a = arguments(heads, head_dim, tokens_);
    a.kind = RowKind::prefill;
    a.query_start = b_start.as<int32_t>();
    a.sequence = b_sequence.as<int32_t>();
    a.sequences = sequences;
    a.max_queries = a.max_keys = length;
    a.query_index = b_index.as<int32_t>();
    a.segment[0] = {
        keys.pool, 0, b_pages.as<int32_t>(), b_page_start.as<int32_t>(), b_left.as<int32_t>(), b_right.as<int32_t>()};
    if (relative_bias) a.bias = b_bias.as<float>(), a.reach = kReach;
    device_.ops().attention(device_.context(), a);
    for (const int32_t t : {0, tokens_ / 2 + length / 3, tokens_ - 1}) {
      const int32_t head = t % heads, first = t / length * length;
      check_row(a, keys, t, head, head, first + left[t], first + right[t], relative_bias ? &bias : nullptr,
                index[t] + first);
    }
    const char* const names[] = {"full", "causal", "prefix"};
    char what[160];
    std::snprintf(what, sizeof what, "attention forward, %d heads of %d, %d x %d tokens, %s%s", heads, head_dim,
                  sequences, length, names[static_cast<int>(mask)], relative_bias ? ", T5 bias" : "");
    figures_.add_rate(what, "TFLOP/s",
                      time_launches(device_, 1, [&](int) { device_.ops().attention(device_.context(), a); }),
                      4 * visible * heads * head_dim, 1e12);
  }

  // One query a row; every variant reads keys of its own. one_source: all rows read the same keys, as beams do.
  void decode(int32_t rows, int32_t length, int32_t kv_heads, int32_t shared, int32_t head_dim, bool one_source) {
    const int32_t sources = one_source ? 1 : rows;
    const int64_t of_one = int64_t{sources} * length;
    const double bytes = static_cast<double>(of_one) * 4 * kv_heads * head_dim;
    const int32_t variants = device_.tiny ? 2 : static_cast<int32_t>(std::clamp(std::ceil(220e6 / bytes), 1.0, 64.0));
    const int32_t noise_rows = static_cast<int32_t>(int64_t{tokens_} * hidden_ / (kv_heads * head_dim));
    const NoisePool keys(device_, kv_host_, kv_, noise_rows, of_one * variants, kv_heads, head_dim);
    std::vector<int32_t> start, sequence, index, left, right, page_start, group;
    for (int32_t v = 0; v < variants; ++v)
      for (int32_t r = 0; r < rows; ++r)
        page_start.push_back(static_cast<int32_t>((v * of_one + (one_source ? 0 : int64_t{r} * length)) / kPageTokens));
    for (int32_t r = 0; r < rows; ++r) {
      start.push_back(r);
      sequence.push_back(r);
      index.push_back(length - 1);
      left.push_back(0);
      right.push_back(length);
      group.push_back(one_source ? 0 : -1);
    }
    start.push_back(rows);
    const Buffer b_start(device_, start), b_sequence(device_, sequence), b_index(device_, index), b_left(device_, left),
        b_right(device_, right), b_page_start(device_, page_start), b_pages(device_, keys.table),
        b_group(device_, group);
    AttentionArgs a = arguments(kv_heads * shared, head_dim, rows);
    a.kind = RowKind::decode;
    a.query_start = b_start.as<int32_t>();
    a.sequence = b_sequence.as<int32_t>();
    a.sequences = rows;
    a.max_queries = 1;
    a.max_keys = length;
    a.query_index = b_index.as<int32_t>();
    a.group = one_source ? b_group.as<int32_t>() : nullptr;
    const auto launch = [&](int variant) {
      a.segment[0] = {keys.pool,
                      0,
                      b_pages.as<int32_t>(),
                      b_page_start.as<int32_t>() + int64_t{variant} * rows,
                      b_left.as<int32_t>(),
                      b_right.as<int32_t>()};
      device_.ops().attention(device_.context(), a);
    };
    launch(0);
    const int32_t t = rows / 2, head = t % (kv_heads * shared);
    const int64_t first = one_source ? 0 : int64_t{t} * length;
    check_row(a, keys, t, head, head / shared, first, first + length, nullptr, 0);
    char what[160];
    std::snprintf(what, sizeof what, "decode attention, %d heads of %d on %d, %d rows of %d keys%s, %d in turn",
                  kv_heads * shared, head_dim, kv_heads, rows, length, one_source ? " of one source" : "", variants);
    figures_.add_rate(what, "GB/s", time_launches(device_, variants, launch), bytes, 1e9);
  }

 private:
  AttentionArgs arguments(int32_t heads, int32_t head_dim, int32_t tokens) {
    AttentionArgs a = {};
    a.q = {q_.as<float>(), DType::f32, tokens, int64_t{heads} * head_dim};
    a.heads = heads;
    a.head_dim = head_dim;
    a.segments = 1;
    a.scale = 2 / std::sqrt(static_cast<float>(head_dim));
    a.out = {out_.as<char>(), DType::bf16, tokens, int64_t{heads} * head_dim};
    return a;
  }

  // One head of one row against the sum in double over the keys [first, last).
  void check_row(const AttentionArgs& a, const NoisePool& keys, int32_t t, int32_t head, int32_t kv_head, int64_t first,
                 int64_t last, const std::vector<float>* bias, int64_t query) {
    const int32_t dim = a.head_dim;
    const int64_t at = (int64_t{t} * a.heads + head) * dim;
    std::vector<double> want(static_cast<size_t>(dim)), p;
    double sum = 0;
    for (int64_t k = first; k < last; ++k) {
      double logit = 0;
      for (int32_t d = 0; d < dim; ++d)
        logit += double(q_host_[static_cast<size_t>(at + d)]) * test::rounded(keys.key(k, kv_head)[d], DType::bf16);
      logit *= double(a.scale);
      if (bias != nullptr)
        logit += (*bias)[static_cast<size_t>(head * (2 * a.reach + 1) +
                                             std::clamp<int64_t>(k - query, -a.reach, a.reach) + a.reach)];
      p.push_back(std::exp(logit));
      sum += p.back();
    }
    for (int64_t k = first; k < last; ++k)
      for (int32_t d = 0; d < dim; ++d)
        want[static_cast<size_t>(d)] +=
            p[static_cast<size_t>(k - first)] / sum * double(test::rounded(keys.value(k, kv_head)[d], DType::bf16));
    std::vector<float> got;
    for (uint16_t bits : test::fetched<uint16_t>(*device_.backend, out_.as<uint16_t>() + at, want.size()))
      got.push_back(test::float_of_bf16(bits));
    CHECK(test::relative_error(got.data(), want.data(), want.size()) < 3e-2);
  }

  const Device& device_;
  Figures& figures_;
  const int32_t tokens_, hidden_;
  const std::vector<float> q_host_, kv_host_;
  const Buffer q_, kv_, out_;
};

inline void bench_forward(const Device& device, Figures& figures) {
  AttentionBench bench(device, figures);
  using Mask = AttentionBench::Mask;
  const std::vector<int32_t> lengths =
      device.tiny ? std::vector<int32_t>{32} : std::vector<int32_t>{512, 1024, 2048, 4096, 8192};
  for (const int32_t head_dim : {64, 128, 256})
    for (const int32_t length : lengths)
      for (const Mask mask : {Mask::full, Mask::causal, Mask::prefix})
        if (!device.tiny || head_dim < 256) bench.forward(length, head_dim, mask, false);
  for (const int32_t length : lengths) bench.forward(length, 64, Mask::full, true);
}

inline void bench_decode(const Device& device, Figures& figures) {
  AttentionBench bench(device, figures);
  if (device.tiny) {
    bench.decode(1, 48, 2, 1, 64, false);
    bench.decode(3, 32, 1, 2, 64, true);
    return;
  }
  for (const int32_t rows : {1, 4, 16, 64, 256}) bench.decode(rows, 1024, 16, 1, 128, false);
  for (const int32_t rows : {1, 16}) bench.decode(rows, 8192, 16, 1, 128, false);
  for (const int32_t rows : {1, 16, 64}) bench.decode(rows, 1024, 8, 4, 128, false);
  for (const int32_t rows : {4, 16, 64}) bench.decode(rows, 1024, 16, 1, 128, true);
  bench.decode(16, 1024, 32, 1, 64, false);
  bench.decode(16, 1024, 8, 1, 256, false);
}

}  // namespace redllm::bench

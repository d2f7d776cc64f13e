#include "measure.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "arena.h"
#include "host_timing.h"

namespace redllm {
namespace {

constexpr int32_t kBlockRows = 64;
// Shape of a page that a device copies: a few MiB.
constexpr int32_t kPageLayers = 32, kPageHeads = 8, kPageHeadDim = 128;

class Measurement {
 public:
  Measurement(Backend& backend, DType type, const MeasureSizes& sizes)
      : backend_(backend), ops_(backend.ops()), type_(type), sizes_(sizes), arena_(ops_, backend.context()) {
    mark_ = arena_.take_array<int32_t>(16);
  }

  double memory() { return ops_.host_memory ? read() : copy(); }

  double product() {
    const int64_t rows = sizes_.rows, width = sizes_.width;
    Weight weight{nullptr, type_, static_cast<int32_t>(width), static_cast<int32_t>(width), false};
    weight.data = arena_.take(ops_.weight_bytes(type_, weight.n, weight.k, false));
    const Tensor x = arena_.take_tensor(type_, rows, width), out = arena_.take_tensor(DType::f32, rows, width);
    fill(weight, x);
    const double seconds =
        time([&] { ops_.matmul(context(), {RowKind::prefill, x, weight, nullptr, Activation::none, 1, false, out}); });
    return 2.0 * static_cast<double>(rows) * static_cast<double>(width) * static_cast<double>(width) / seconds;
  }

 private:
  Context* context() { return backend_.context(); }

  // Seconds of one call: the first is not counted, the others are waited for together.
  template <typename Body>
  double time(Body body) {
    body();
    wait();
    const double start = now();
    for (int64_t i = 0; i < sizes_.times; ++i) body();
    wait();
    return (now() - start) / static_cast<double>(sizes_.times);
  }

  // Until the device has done all that it was given.
  void wait() {
    int32_t value = 0;
    const Piece piece = {&value, mark_, sizeof value};
    ops_.wait(context(), ops_.download(context(), &piece, 1));
  }

  // With numbers that are not zero, of which a device would need less power and so run faster: one block of rows, again and again.
  void fill(const Weight& weight, const Tensor& x) {
    std::vector<float> wide(static_cast<size_t>(kBlockRows * x.cols));
    std::vector<uint16_t> narrow(wide.size());
    uint32_t state = 1;
    for (size_t i = 0; i < wide.size(); ++i) {
      state = state * 1664525u + 1013904223u;
      wide[i] = static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31f;
      uint32_t bits;
      std::memcpy(&bits, &wide[i], sizeof bits);
      narrow[i] = static_cast<uint16_t>(bits >> 16);
    }
    const void* block = type_ == DType::f32 ? static_cast<const void*>(wide.data()) : narrow.data();
    for (int32_t row = 0; row < weight.n; row += kBlockRows)
      ops_.pack(context(), {weight, row, std::min(kBlockRows, weight.n - row), wide.data(), DType::f32});
    for (int64_t row = 0; row < x.rows; row += kBlockRows) {
      const Tensor to = x.slice(row, std::min<int64_t>(kBlockRows, x.rows - row));
      const Piece piece = {to.data, block, static_cast<uint64_t>(to.rows * to.cols) * size_of(type_)};
      ops_.upload(context(), &piece, 1);
    }
  }

  double read() {
    const int32_t threads = backend_.threads();
    const int64_t part = std::max<int64_t>(1, static_cast<int64_t>(sizes_.bytes) / threads / 256) * 256;
    char* data = static_cast<char*>(arena_.take(static_cast<uint64_t>(part) * threads));
    // Pages that nobody wrote are one page of zeros.
    std::fill_n(data, part * threads, 1);
    const double seconds = time([&] {
      time_threads(threads, [&](int32_t thread) {
        uint64_t sum = read_all(data + thread * part, part);
        asm volatile("" ::"r"(sum));
      });
    });
    return static_cast<double>(part) * threads / seconds;
  }

  double copy() {
    const uint64_t page = ops_.page_bytes(type_, kPageLayers, kPageHeads, kPageHeadDim);
    const int32_t count = static_cast<int32_t>(std::max<uint64_t>(1, sizes_.bytes / page));
    PagePool pool = {nullptr, type_, 2 * count, kPageLayers, kPageHeads, kPageHeadDim};
    pool.data = arena_.take(2 * count * page);
    std::vector<int32_t> places(static_cast<size_t>(2 * count));
    std::iota(places.begin(), places.end(), 0);
    int32_t* sent = arena_.take_array<int32_t>(places.size());
    const Piece piece = {sent, places.data(), places.size() * sizeof(int32_t)};
    ops_.upload(context(), &piece, 1);
    const double seconds = time([&] { ops_.copy_pages(context(), {pool, sent, sent + count, count}); });
    return 2.0 * count * static_cast<double>(page) / seconds;
  }

  Backend& backend_;
  const Ops& ops_;
  const DType type_;
  const MeasureSizes sizes_;
  Arena arena_;
  int32_t* mark_;
};

}  // namespace

Rates measure(Backend& backend, DType type, const MeasureSizes& sizes) {
  // One after the other, so that the memory of one is free before the other's is taken.
  const double bytes = Measurement(backend, type, sizes).memory();
  const double flop = Measurement(backend, type, sizes).product();
  return {bytes, flop};
}

}  // namespace redllm

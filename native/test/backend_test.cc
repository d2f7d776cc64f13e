// What ops.h promises of the table beside the ops: memory, copies and their tickets, runs that are replayed, no error.
#include "matmul_data.h"

using namespace redllm;
using namespace redllm::test;

namespace {

void memory(Backend& backend) {
  const Ops& ops = backend.ops();
  for (uint64_t bytes : {uint64_t{0}, uint64_t{4}, uint64_t{4096}, uint64_t{3} << 20}) {
    void* data = ops.allocate(backend.context(), bytes);
    if (!CHECK(data != nullptr)) continue;
    CHECK(reinterpret_cast<uintptr_t>(data) % 64 == 0);
    bool zero = true;
    for (uint32_t word : fetched<uint32_t>(backend, data, bytes / 4)) zero = zero && word == 0;
    CHECK(zero);
    ops.release(backend.context(), data, bytes);
  }
  // Too much of it is null, and nothing is broken by the asking.
  CHECK(ops.allocate(backend.context(), UINT64_MAX) == nullptr);
  CHECK(ops.allocate(backend.context(), uint64_t{1} << 62) == nullptr);
  CHECK(ops.error(backend.context()) == nullptr);
  uint64_t free = 1, total = 1;
  ops.memory(backend.context(), &free, &total);
  CHECK(free <= total);
}

// Pieces of many sizes up, altered by an op, and down again; two downloads under way at a time.
void copies(Backend& backend) {
  const Ops& ops = backend.ops();
  Context* context = backend.context();
  Random random(1);
  constexpr int64_t kWidth = 70001;
  auto* device = static_cast<float*>(ops.allocate(context, 3 * kWidth * 4));
  for (int round = 0; round < 6; ++round) {
    const auto values = random.reals(2 * kWidth);
    std::vector<float> source = values;
    std::vector<Piece> up;
    for (int64_t at = 0; at < 2 * kWidth;) {
      const int64_t count = std::min<int64_t>(2 * kWidth - at, random.integer(0, coin(random) ? 40000 : 9));
      up.push_back({device + at, source.data() + at, static_cast<uint64_t>(count) * 4});
      at += count;
    }
    ops.upload(context, up.data(), static_cast<int32_t>(up.size()));
    std::fill(source.begin(), source.end(), NAN);  // it may change as soon as upload() returns
    std::vector<float> first(2 * kWidth), second(kWidth);
    const Piece down[] = {{first.data(), device, 4}, {first.data() + 1, device + 1, (2 * kWidth - 1) * 4}};
    const uint64_t ticket = ops.download(context, down, 2);
    ops.gather(context, {{device, DType::f32, 2, kWidth}, nullptr, {device + 2 * kWidth, DType::f32, 1, kWidth}});
    const Piece copy = {second.data(), device + 2 * kWidth, kWidth * 4};
    const uint64_t other = ops.download(context, &copy, 1);
    ops.wait(context, ticket);
    CHECK(same_bits(first, values));
    ops.wait(context, other);
    CHECK(std::equal(second.begin(), second.end(), values.begin()));
  }
  ops.upload(context, nullptr, 0);
  ops.wait(context, ops.download(context, nullptr, 0));
  ops.release(context, device, 3 * kWidth * 4);
}

// A few ops over memory whose contents change, called one by one and as a run: eager, recorded, replayed, forgotten, again.
void runs(Backend& backend) {
  const Ops& ops = backend.ops();
  Context* context = backend.context();
  Random random(2);
  constexpr int32_t kRows = 5, kWidth = 40;
  const Matrix weight(random, DType::f32, kWidth, kWidth);
  const Packed packed(backend, weight, false);
  constexpr uint64_t kBytes = kRows * kWidth * 4;
  void* const memory = ops.allocate(context, 3 * kBytes);
  auto* const floats = static_cast<float*>(memory);
  const Tensor x = {floats, DType::f32, kRows, kWidth}, y = {floats + kRows * kWidth, DType::f32, kRows, kWidth};
  auto* const row = static_cast<int32_t*>(memory) + 2 * kRows * kWidth;
  const auto body = [&](int32_t rows) {
    ops.gather(context, {x, row, y.slice(0, rows)});
    ops.norm(context, {y.slice(0, rows), y.slice(0, rows), {}, NormKind::rms, 1e-6f, nullptr, nullptr, false});
    ops.matmul(context, {RowKind::decode, y.slice(0, rows), packed.weight, nullptr, Activation::gelu, 1, true,
                         x.slice(0, rows)});
  };
  struct Inputs {
    std::vector<float> x;
    std::vector<int32_t> row;
  };
  const auto run = [&](const Inputs& in, int32_t rows, bool as_run, uint64_t owner) {
    const Piece up[] = {{floats, in.x.data(), kBytes}, {row, in.row.data(), kRows * 4}};
    ops.upload(context, up, 2);
    bool replayed = false;
    if (as_run) replayed = ops.begin_run(context, owner, static_cast<uint64_t>(rows));
    while (!replayed) {
      body(rows);
      if (!as_run || ops.end_run(context)) break;
    }
    return std::pair(fetched<float>(backend, memory, 2 * kRows * kWidth), replayed);
  };
  const auto inputs = [&] {
    Inputs in = {random.reals(kRows * kWidth), {}};
    for (int i = 0; i < kRows; ++i) in.row.push_back(static_cast<int32_t>(random.integer(0, kRows - 1)));
    return in;
  };
  int32_t replays = 0;
  for (int round = 0; round < 6; ++round)
    for (const uint64_t owner : {uint64_t{1}, uint64_t{2}})
      for (const int32_t rows : {kRows, 3}) {
        const Inputs in = inputs();
        const auto eager = run(in, rows, false, 0);
        const auto [got, replayed] = run(in, rows, true, owner);
        CHECK(same_bits(got, eager.first));
        CHECK(round > 0 || !replayed);
        replays += replayed;
      }
  CHECK(!on_device(backend) || replays > 0);  // of what was seen twice, the third is a replay
  ops.drop_runs(context, 1);
  for (int round = 0; round < 4; ++round) {
    const Inputs in = inputs();
    const auto eager = run(in, kRows, false, 0);
    const auto [first, replayed] = run(in, kRows, true, 1);
    CHECK(same_bits(first, eager.first));
    CHECK(round > 0 || !replayed);
    CHECK(same_bits(run(in, kRows, true, 2).first, eager.first));
  }
  ops.drop_runs(context, 1);
  ops.drop_runs(context, 2);
  ops.drop_runs(context, 3);
  ops.release(context, memory, 3 * kBytes);
}

}  // namespace

int main() {
  for (const auto& backend : every_backend()) {
    begin(backend->ops().name);
    CHECK(backend->ops().abi == kOpsAbi);
    CHECK(backend->ops().error(backend->context()) == nullptr);
    memory(*backend);
    copies(*backend);
    runs(*backend);
    CHECK(backend->ops().error(backend->context()) == nullptr);
  }
  return report();
}

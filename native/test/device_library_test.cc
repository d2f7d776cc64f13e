// The CUDA library as the core opens it, and what tests of ops do not reach: runs that cannot be recorded, more runs than are kept,
// copies larger than the pinned memory that they go through. On the emulated library, or on the one that REDLLM_TEST_LIBRARY names.
#include "device_library.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "backends.h"
#include "check.h"

using namespace redllm;
using namespace redllm::test;

namespace {

std::string refusal(const std::string& path, int32_t index) {
  try {
    DeviceLibrary(path).open(index);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return {};
}

void opening(const std::string& path) {
  begin("opening");
  CHECK(DeviceLibrary("/nowhere/library.so").count() == 0);
  CHECK(refusal("/nowhere/library.so", 0) == "there is no library /nowhere/library.so");
  DeviceLibrary none("/proc/self/exe");
  CHECK(none.count() == 0 && !none.why().empty());
  DeviceLibrary library(path);
  const int32_t count = library.count();
  CHECK(count > 0 && library.why().empty());
  CHECK(*library.build() != 0);
  std::string text;
  CHECK(library.describe(0, &text) && !text.empty());
  CHECK(!library.describe(count, &text) && !text.empty());
  CHECK(refusal(path, count).find("there is no device " + std::to_string(count)) == 0);
  CHECK(refusal(path, -1).find("there is no device -1") == 0);
  // Two at a time, and again after they are gone.
  for (int round = 0; round < 3; ++round) {
    const auto one = library.open(0), other = library.open(0);
    CHECK(one->context() != other->context());
    CHECK(!one->ops().host_memory && one->threads() == 0);
    CHECK(one->ops().error(one->context()) == nullptr);
  }
}

// Memory of the backend with the numbers 0, 1, 2, ... in it.
class Numbers {
 public:
  Numbers(Backend& backend, int64_t count) : backend_(backend), bytes_(static_cast<uint64_t>(count) * 4) {
    data_ = static_cast<int32_t*>(backend.ops().allocate(backend.context(), bytes_));
    CHECK(data_ != nullptr);
  }
  ~Numbers() { backend_.ops().release(backend_.context(), data_, bytes_); }
  int32_t* at(int64_t index) const { return data_ + index; }

  void set(int64_t first, const std::vector<int32_t>& values) {
    const Piece piece = {data_ + first, values.data(), values.size() * 4};
    backend_.ops().upload(backend_.context(), &piece, 1);
  }
  std::vector<int32_t> get(int64_t first, int64_t count) const {
    return fetched<int32_t>(backend_, data_ + first, static_cast<size_t>(count));
  }

 private:
  Backend& backend_;
  uint64_t bytes_;
  int32_t* data_;
};

std::vector<int32_t> numbers(int64_t count, int32_t first) {
  std::vector<int32_t> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = first + static_cast<int32_t>(i);
  return values;
}

// Pieces of all sizes in one call, more of them than one launch moves. None overlap: those of one launch are moved in no order.
void copies(Backend& backend) {
  begin("copies");
  constexpr int64_t kCount = 1 << 20;
  Numbers memory(backend, kCount);
  Random random(3);
  for (int round = 0; round < 4; ++round) {
    const auto source = numbers(kCount, round * 1000003);
    std::vector<int32_t> expected = memory.get(0, kCount);
    std::vector<Piece> pieces;
    for (int64_t i = 0, to = 0; i < 400; ++i) {
      to += random.integer(0, 3);
      const int64_t most = std::min<int64_t>(kCount - to, i % 97 == 0 ? 150000 : i % 40 == 0 ? 30000 : 200);
      const int64_t count = random.integer(0, most), from = random.integer(0, kCount - count);
      pieces.push_back({memory.at(to), &source[static_cast<size_t>(from)], static_cast<uint64_t>(count) * 4});
      std::copy_n(source.begin() + from, count, expected.begin() + to);
      to += count;
    }
    backend.ops().upload(backend.context(), pieces.data(), static_cast<int32_t>(pieces.size()));
    CHECK(memory.get(0, kCount) == expected);
    std::vector<int32_t> down(kCount, -1);
    pieces.clear();
    for (int64_t at = 0; at < kCount;) {
      const int64_t count =
          std::min<int64_t>(kCount - at, random.integer(1, random.integer(0, 9) == 0 ? 100000 : 4000));
      pieces.push_back({&down[static_cast<size_t>(at)], memory.at(at), static_cast<uint64_t>(count) * 4});
      at += count;
    }
    const uint64_t ticket =
        backend.ops().download(backend.context(), pieces.data(), static_cast<int32_t>(pieces.size()));
    backend.ops().wait(backend.context(), ticket);
    CHECK(down == expected);
  }
}

// A run that copies one row of f32 behind another; `to` tells runs apart.
struct Row {
  Numbers& memory;
  int64_t to;
  void op(Backend& backend) const {
    backend.ops().gather(backend.context(),
                         {{memory.at(0), DType::f32, 1, 16}, nullptr, {memory.at(to), DType::f32, 1, 16}});
  }
};

void unrecordable(Backend& backend, const DeviceLibraryEntry* entry) {
  begin("what cannot be recorded just runs");
  const Ops& ops = backend.ops();
  Context* context = backend.context();
  Numbers memory(backend, 64);
  const Row row{memory, 32};
  for (int round = 0; round < 4; ++round) {
    memory.set(0, numbers(16, 100 * round));
    CHECK(!ops.begin_run(context, 1, 1));
    row.op(backend);
    entry->synchronize(context);  // which no recording survives
    if (!ops.end_run(context)) {
      CHECK(round == 1);
      row.op(backend);
      CHECK(ops.end_run(context));
    } else {
      CHECK(round != 1);
    }
    CHECK(memory.get(32, 16) == numbers(16, 100 * round));
    CHECK(ops.error(context) == nullptr);
  }
  ops.drop_runs(context, 1);
}

void many_runs(Backend& backend) {
  begin("more runs than are kept");
  const Ops& ops = backend.ops();
  Context* context = backend.context();
  constexpr int32_t kRuns = 200;
  Numbers memory(backend, 16 * (kRuns + 1));
  int32_t value = 0;
  const auto replayed = [&](int32_t key) {
    memory.set(0, numbers(16, ++value));
    const Row row{memory, 16 * (key + 1)};
    const bool played = ops.begin_run(context, 7, static_cast<uint64_t>(key));
    if (!played) {
      row.op(backend);
      CHECK(ops.end_run(context));
    }
    CHECK(memory.get(row.to, 16) == numbers(16, value));
    return played;
  };
  for (int round = 0; round < 2; ++round)
    for (int32_t key = 0; key < kRuns; ++key) CHECK(!replayed(key));
  int32_t kept = 0;
  for (int32_t key = kRuns - 1; key >= 0; --key) kept += replayed(key);
  CHECK(kept > 60 && kept < kRuns);
  for (int32_t key = 0; key < 20; ++key) CHECK(replayed(key));
  ops.drop_runs(context, 7);
  CHECK(!replayed(0));
  ops.drop_runs(context, 7);
  CHECK(ops.error(context) == nullptr);
}

}  // namespace

int main() {
  const char* chosen = std::getenv("REDLLM_TEST_LIBRARY");
  const std::string path = chosen != nullptr ? chosen : REDLLM_CUDA_EMU_LIBRARY;
  if (path.empty()) {
    std::printf("SKIP: there is no device library\n");
    return 0;
  }
  opening(path);
  using Function = const DeviceLibraryEntry* (*)();
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  const auto* entry = reinterpret_cast<Function>(dlsym(handle, "redllm_device_library"))();
  const auto backend = DeviceLibrary(path).open(0);
  copies(*backend);
  unrecordable(*backend, entry);
  many_runs(*backend);
  return report();
}

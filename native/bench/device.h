// A device library under the clock: memory on it, and runs that are replayed between two waits.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "device_library.h"
#include "host_timing.h"

namespace redllm::bench {

class Device {
 public:
  // `tiny`: shapes that the emulator can run, whose times say nothing.
  Device(const std::string& path, bool tiny) : tiny(tiny) {
    DeviceLibrary library(path);
    backend = library.open(0);
    library.describe(0, &description);
    mark_ = allocate(4);
  }
  ~Device() { ops().release(context(), mark_, 4); }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const Ops& ops() const { return backend->ops(); }
  Context* context() const { return backend->context(); }

  // Until all that was launched is done; throws std::runtime_error where it failed.
  void wait() const {
    uint32_t word = 0;
    const Piece piece = {&word, mark_, 4};
    ops().wait(context(), ops().download(context(), &piece, 1));
    if (const char* error = ops().error(context())) throw std::runtime_error(error);
  }
  char* allocate(uint64_t bytes) const {
    void* data = ops().allocate(context(), bytes);
    if (data == nullptr) throw std::bad_alloc();
    return static_cast<char*>(data);
  }

  const bool tiny;
  std::string description;
  std::shared_ptr<Backend> backend;

 private:
  void* mark_ = nullptr;
};

// Memory on the device for as long as it lives.
class Buffer {
 public:
  Buffer(const Device& device, uint64_t bytes)
      : device_(device), bytes_((bytes + 3) / 4 * 4), data_(device.allocate(bytes_)) {}
  template <typename T>
  Buffer(const Device& device, const std::vector<T>& values) : Buffer(device, values.size() * sizeof(T)) {
    static_assert(sizeof(T) == 4, "copies are of whole words");
    upload(values.data(), 0, values.size() * sizeof(T));
  }
  ~Buffer() { device_.ops().release(device_.context(), data_, bytes_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void upload(const void* from, uint64_t at, uint64_t bytes) {
    const Piece piece = {data_ + at, from, bytes};
    device_.ops().upload(device_.context(), &piece, 1);
  }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  const Device& device_;
  uint64_t bytes_;
  char* data_;
};

// Seconds of one of `variants` launches of body(variant), which do the same on different memory: a run of all of them, replayed for
// some milliseconds between two waits. One number a repetition.
inline std::vector<double> time_launches(const Device& device, int variants, const std::function<void(int)>& body) {
  static uint64_t owner = 1000;
  ++owner;
  const Ops& ops = device.ops();
  const auto once = [&] {
    if (ops.begin_run(device.context(), owner, 0)) return;
    do {
      for (int i = 0; i < variants; ++i) body(i);
    } while (!ops.end_run(device.context()));
  };
  const auto timed = [&](int times) {
    const double start = now();
    for (int i = 0; i < times; ++i) once();
    device.wait();
    return now() - start;
  };
  timed(device.tiny ? 3 : 4);  // seen, recorded, replayed
  const double estimate = timed(1);
  const int times = device.tiny ? 1 : static_cast<int>(std::clamp(0.012 / estimate, 1.0, 5000.0));
  std::vector<double> all;
  for (int i = 0; i < (device.tiny ? 2 : 9); ++i) all.push_back(timed(times) / times / variants);
  ops.drop_runs(device.context(), owner);
  return all;
}

}  // namespace redllm::bench

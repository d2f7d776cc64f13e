// A device library under the clock: memory on it, runs that are replayed between two waits, figures and what they are held against.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "device_library.h"

namespace redllm::bench {

inline double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline double median(std::vector<double> values) {
  if (values.empty()) return NAN;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Numbers that no compressor and no sleeping transistor can make anything of: uniform in [-1, 1).
class Noise {
 public:
  explicit Noise(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ull + 1) {}
  std::vector<float> floats(size_t count) {
    std::vector<float> values(count);
    for (float& value : values) {
      state_ ^= state_ >> 12;
      state_ ^= state_ << 25;
      state_ ^= state_ >> 27;
      const uint64_t bits = state_ * 0x2545F4914F6CDD1Dull;
      value = static_cast<float>(static_cast<int64_t>(bits >> 40) - (1 << 23)) / (1 << 23);
    }
    return values;
  }

 private:
  uint64_t state_;
};

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
  uint64_t bytes() const { return bytes_; }

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
    const double start = seconds_now();
    for (int i = 0; i < times; ++i) once();
    device.wait();
    return seconds_now() - start;
  };
  timed(device.tiny ? 3 : 4);  // seen, recorded, replayed
  const double estimate = timed(1);
  const int times = device.tiny ? 1 : static_cast<int>(std::clamp(0.012 / estimate, 1.0, 5000.0));
  std::vector<double> all;
  for (int i = 0; i < (device.tiny ? 2 : 9); ++i) all.push_back(timed(times) / times / variants);
  ops.drop_runs(device.context(), owner);
  return all;
}

struct Figure {
  std::string what, unit;
  std::vector<double> repetitions;  // in the unit
  double microseconds;              // of the median; 0: it is no time
};

// One JSON array of figures; each is printed as it comes.
class Figures {
 public:
  void add(const std::string& what, const std::string& unit, std::vector<double> repetitions, double microseconds = 0) {
    all_.push_back({what, unit, std::move(repetitions), microseconds});
    const Figure& f = all_.back();
    std::printf("%-72s %10.2f %s", f.what.c_str(), median(f.repetitions), f.unit.c_str());
    if (f.microseconds > 0) std::printf("  (%.1f us)", f.microseconds);
    std::printf("\n");
    std::fflush(stdout);
  }
  // `amount`: what one launch did, of which `scale` are one of the unit.
  void add_rate(const std::string& what, const std::string& unit, const std::vector<double>& seconds, double amount,
                double scale) {
    std::vector<double> rates;
    for (double s : seconds) rates.push_back(amount / s / scale);
    add(what, unit, rates, median(seconds) * 1e6);
  }
  std::string json() const {
    std::string text = "[";
    char line[64];
    for (const Figure& f : all_) {
      text += (text.size() > 1 ? ",\n" : "\n") + ("  {\"what\": \"" + f.what) + "\", \"unit\": \"" + f.unit +
              "\", \"median\": ";
      std::snprintf(line, sizeof line, "%.5g", median(f.repetitions));
      text += line + std::string(", \"repetitions\": [");
      for (size_t i = 0; i < f.repetitions.size(); ++i) {
        std::snprintf(line, sizeof line, "%s%.5g", i > 0 ? ", " : "", f.repetitions[i]);
        text += line;
      }
      std::snprintf(line, sizeof line, "], \"microseconds\": %.5g}", f.microseconds);
      text += line;
    }
    return text + "\n]\n";
  }

 private:
  std::vector<Figure> all_;
};

}  // namespace redllm::bench

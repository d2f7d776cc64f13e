// The native tests' own few lines of harness: cases by name, checks that count and go on, a seeded generator.
// A test program runs its cases and returns report() from main: 0 where every check held.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace redllm::test {

struct Tally {
  int64_t passed = 0;
  int64_t failed = 0;
  const char* name = "";
};

inline Tally& tally() {
  static Tally instance;
  return instance;
}

inline void begin(const char* name) {
  tally().name = name;
}

inline bool check(bool held, const char* what, const char* file, int line) {
  held ? ++tally().passed : ++tally().failed;
  if (!held && tally().failed <= 20)
    std::fprintf(stderr, "%s:%d: [%s] does not hold: %s\n", file, line, tally().name, what);
  return held;
}

inline int report() {
  std::printf("%lld passed, %lld failed\n", static_cast<long long>(tally().passed),
              static_cast<long long>(tally().failed));
  return tally().failed == 0 ? 0 : 1;
}

// xorshift64*: small, seeded, the same on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ull + 1) {}
  uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545F4914F6CDD1Dull;
  }
  // Uniform in [low, high].
  int64_t integer(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(next() % static_cast<uint64_t>(high - low + 1));
  }
  // Uniform in [-1, 1).
  float real() { return static_cast<float>(static_cast<int64_t>(next() >> 40) - (1 << 23)) / (1 << 23); }
  std::vector<float> reals(size_t count, float scale = 1) {
    std::vector<float> values(count);
    for (float& value : values) value = real() * scale;
    return values;
  }

 private:
  uint64_t state_;
};

// Whether body throws std::runtime_error.
template <typename Body>
bool throws(Body body) {
  try {
    body();
  } catch (const std::runtime_error&) {
    return true;
  }
  return false;
}

// ||a - b|| / ||b||; a NaN anywhere gives infinity, so that it never passes a bound.
template <typename A, typename B>
double relative_error(const A* a, const B* b, size_t count) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < count; ++i) {
    if (std::isnan(static_cast<double>(a[i]))) return INFINITY;
    difference += (double(a[i]) - double(b[i])) * (double(a[i]) - double(b[i]));
    norm += double(b[i]) * double(b[i]);
  }
  return norm == 0 ? std::sqrt(difference) : std::sqrt(difference / norm);
}

}  // namespace redllm::test

#define CHECK(condition) ::redllm::test::check((condition), #condition, __FILE__, __LINE__)

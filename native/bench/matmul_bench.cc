// The ladder of the packed product: naive loop, plain, AVX2, AVX-512; each rung is checked against a double-precision sum
// before it is timed, and read against what the machine could do at most, measured in the same run. Short runs, rungs
// taking turns, best and median: other work on the machine disturbs all of them alike.
//
//   matmul_bench [--json FILE | SECTION]     SECTION: a part of the names of those to run
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "bench/ceilings.h"
#include "cpu/backend.h"
#include "cpu/bf16.h"
#include "cpu/isa.h"
#include "host_timing.h"
#include "test/check.h"

using namespace redllm;

namespace {

constexpr double kSecondsPerRung = 0.6;
constexpr int kMaxRuns = 200;

struct Figure {
  std::string section, rung, type, unit;
  int32_t threads;
  int64_t rows, n, k;
  double best, median, of_ceiling;
};

std::vector<Figure> figures;
int failures = 0;

struct Rung {
  std::string name;
  std::function<void()> run;
  std::vector<double> seconds = {};
};

// Runs the rungs in turns until each had its time.
void take_turns(std::vector<Rung>& rungs) {
  for (bool more = true; more;) {
    more = false;
    for (Rung& rung : rungs) {
      double spent = 0;
      for (double s : rung.seconds) spent += s;
      if ((spent > kSecondsPerRung && rung.seconds.size() >= 3) || rung.seconds.size() >= kMaxRuns) continue;
      const double start = now();
      rung.run();
      rung.seconds.push_back(now() - start);
      more = true;
    }
  }
  for (Rung& rung : rungs) std::sort(rung.seconds.begin(), rung.seconds.end());
}

// `amount`: FLOP or bytes of one run, in 1e9.
void report(Figure figure, const std::vector<double>& seconds, double amount, double ceiling) {
  figure.best = amount / seconds.front();
  figure.median = amount / seconds[seconds.size() / 2];
  figure.of_ceiling = ceiling > 0 ? figure.best / ceiling : 0;
  std::printf("%-22s %-10s %-5s %d thread%s %5lld x %5lld x %5lld %8.1f best %8.1f median %s", figure.section.c_str(),
              figure.rung.c_str(), figure.type.c_str(), figure.threads, figure.threads == 1 ? " " : "s",
              (long long)figure.rows, (long long)figure.n, (long long)figure.k, figure.best, figure.median,
              figure.unit.c_str());
  if (ceiling > 0) std::printf(" %4.0f%%", 100 * figure.of_ceiling);
  std::printf("\n");
  std::fflush(stdout);
  figures.push_back(figure);
}

// Values in [-1, 1) of the type, in backend memory.
struct Values {
  Tensor tensor;
  uint64_t bytes;
  Backend& backend;

  Values(Backend& backend, DType type, int64_t rows, int64_t cols, bool random) : backend(backend) {
    bytes = static_cast<uint64_t>(rows * cols) * size_of(type);
    tensor = {backend.ops().allocate(nullptr, bytes), type, rows, cols};
    if (!random) return;
    test::Random generator(static_cast<uint64_t>(rows * 31 + cols));
    for (int64_t i = 0; i < rows * cols; ++i) {
      const float value = generator.real();
      if (type == DType::bf16)
        tensor.as<uint16_t>()[i] = cpu::bf16_from_float(value);
      else
        tensor.as<float>()[i] = value;
    }
  }
  ~Values() { backend.ops().release(nullptr, tensor.data, bytes); }
  Values(const Values&) = delete;

  double at(int64_t index) const {
    if (tensor.type == DType::bf16) return double(cpu::float_from_bf16(tensor.as<uint16_t>()[index]));
    return double(tensor.as<float>()[index]);
  }
};

struct Packed {
  Weight weight;
  uint64_t bytes;
  Backend& backend;

  Packed(Backend& backend, const Tensor& w, bool gated = false) : backend(backend) {
    const int32_t n = static_cast<int32_t>(w.rows), k = static_cast<int32_t>(w.cols);
    bytes = backend.ops().weight_bytes(w.type, n, k, gated);
    weight = {backend.ops().allocate(nullptr, bytes), w.type, n, k, gated};
    backend.ops().pack(backend.context(), {weight, 0, n, w.data, w.type});
  }
  ~Packed() { backend.ops().release(nullptr, weight.data, bytes); }
  Packed(const Packed&) = delete;
};

const char* name_of(DType type) {
  return type == DType::bf16 ? "bf16" : "f32";
}

// Some elements of x w^T against a sum in double.
void check(const char* rung, const Values& x, const Values& w, const Values& out) {
  test::Random random(5);
  const int64_t k = x.tensor.cols, n = w.tensor.rows;
  double difference = 0, norm = 0;
  for (int i = 0; i < 200; ++i) {
    const int64_t r = random.integer(0, out.tensor.rows - 1), c = random.integer(0, n - 1);
    double sum = 0;
    for (int64_t j = 0; j < k; ++j) sum += x.at(r * k + j) * w.at(c * k + j);
    const double d = out.at(r * n + c) - sum;
    difference += d * d;
    norm += sum * sum;
  }
  if (std::sqrt(difference / norm) < 1e-5) return;
  std::printf("%s is wrong: relative error %g\n", rung, std::sqrt(difference / norm));
  ++failures;
}

struct Ceilings {
  double f32[3] = {}, bf16[3] = {}, avx2[3] = {}, read[3] = {};  // [threads], of f32 and bf16 with AVX-512

  double matrix(const std::string& rung, DType type, int32_t threads) const {
    if (rung == "avx512") return type == DType::bf16 ? bf16[threads] : f32[threads];
    return rung == "avx2" ? avx2[threads] : 0;
  }
};

class Bench {
 public:
  Bench() {
    for (const char* isa : {"plain", "avx2", "avx512"})
      if (cpu::ops_for(isa) != nullptr) isas_.push_back(isa);
    for (int32_t threads = 1; threads <= 2 && threads <= cpu::default_threads(); ++threads) threads_.push_back(threads);
  }

  void ceilings() {
    for (int32_t threads : threads_) {
      for (auto [name, peak, type] : {std::tuple{"avx2", bench::Peak::f32_avx2, DType::f32},
                                      {"avx512", bench::Peak::f32_avx512, DType::f32},
                                      {"avx512", bench::Peak::bf16_avx512, DType::bf16}}) {
        if (cpu::ops_for(name) == nullptr) continue;
        std::vector<double> seconds;
        double flop = 0;
        for (int i = 0; i < kMaxRuns; ++i)
          seconds.push_back(time_threads(threads, [&](int32_t t) {
            const double done = bench::run_peak(peak);
            if (t == 0) flop = done * threads;
          }));
        std::sort(seconds.begin(), seconds.end());
        report({"ceiling: registers", name, name_of(type), "GFLOP/s", threads, 0, 0, 0, 0, 0, 0}, seconds, flop / 1e9,
               0);
        (std::strcmp(name, "avx2") == 0 ? ceilings_.avx2
         : type == DType::bf16          ? ceilings_.bf16
                                        : ceilings_.f32)[threads] = figures.back().best;
      }
      cpu::Backend backend(1);
      const int64_t bytes = 256 << 20, part = bytes / threads;
      const Values memory(backend, DType::f32, 1, bytes / 4, false);
      std::memset(memory.tensor.data, 1, static_cast<size_t>(bytes));
      std::vector<double> seconds;
      std::atomic<uint64_t> sum{0};
      for (int i = 0; i < 30; ++i)
        seconds.push_back(
            time_threads(threads, [&](int32_t t) { sum ^= read_all(memory.tensor.as<char>() + t * part, part); }));
      std::sort(seconds.begin(), seconds.end());
      report({"ceiling: read 256 MB", "-", "-", "GB/s", threads, 0, 0, 0, 0, 0, 0}, seconds, double(bytes) / 1e9, 0);
      ceilings_.read[threads] = figures.back().best;
    }
  }

  // The ladder proper, for one shape: every rung in turn. Bytes are counted where `stream`, else FLOP.
  void ladder(const char* section, DType type, int64_t rows, int64_t n, int64_t k, bool stream, bool naive) {
    for (int32_t threads : threads_) {
      cpu::Backend home(threads);
      const Values x(home, type, rows, k, true), w(home, type, n, k, true), out(home, DType::f32, rows, n, false);
      const Packed packed(home, w.tensor);  // one layout for all instruction sets
      std::vector<std::unique_ptr<Backend>> backends;
      std::vector<Rung> rungs;
      int number = 0;
      if (naive && threads == 1) rungs.push_back({std::to_string(number) + " naive", [&] { naive_rows(x, w, out); }});
      if (stream)
        rungs.push_back({"0 read", [&] {
                           const char* data = static_cast<const char*>(packed.weight.data);
                           const int64_t part = 1 << 20, parts = static_cast<int64_t>(packed.bytes) / part;
                           cpu::parallel_for(home.context(), parts,
                                             [&](int64_t i, int32_t) { sink_ ^= read_all(data + i * part, part); });
                         }});
      for (const char* isa : isas_) {
        ++number;
        if (stream && std::strcmp(isa, "plain") == 0 && rows > 4) continue;
        backends.push_back(std::make_unique<cpu::Backend>(threads, isa));
        rungs.push_back({std::to_string(number) + " " + isa, [&, backend = backends.back().get()] {
                           backend->ops().matmul(backend->context(), {RowKind::prefill, x.tensor, packed.weight,
                                                                      nullptr, Activation::none, 1, false, out.tensor});
                         }});
      }
      for (Rung& rung : rungs) {
        std::memset(out.tensor.data, 0xff, out.bytes);
        if (rung.name[0] == '0') continue;
        rung.run();
        check(rung.name.c_str(), x, w, out);
      }
      take_turns(rungs);
      // Bandwidth of a shared machine comes and goes: the reads that took turns with the products are their ceiling.
      const double read = double(packed.bytes) / 1e9 / rungs[0].seconds.front();
      for (Rung& rung : rungs) {
        const bool is_naive = rung.name == "0 naive";
        const double flop = 2.0 * double(is_naive ? 1 : rows) * double(n) * double(k) / 1e9;
        const double ceiling = stream ? read : ceilings_.matrix(rung.name.substr(2), type, threads);
        report({section, rung.name, name_of(type), stream ? "GB/s" : "GFLOP/s", threads, is_naive ? 1 : rows, n, k, 0,
                0, 0},
               rung.seconds, stream ? double(packed.bytes) / 1e9 : flop, ceiling);
      }
    }
  }

  // The products of one pass of a 150M model (d 1024, gated ffn 4096), one after the other, in bf16: 8 layers, 300 MB of
  // weights. Few rows: the decoder's step, in GB/s. Many: the encoder's pass, in GFLOP/s.
  void model(int64_t rows, bool decoder) {
    for (int32_t threads : threads_) {
      cpu::Backend backend(threads);
      const Values d(backend, DType::bf16, rows, 1024, true), f(backend, DType::bf16, rows, 4096, true);
      const Values qkv(backend, DType::f32, rows, 3072, false), residual(backend, DType::f32, rows, 1024, false);
      const Values w_d(backend, DType::bf16, 8192, 1024, true), w_f(backend, DType::bf16, 1024, 4096, true);
      std::vector<std::unique_ptr<Packed>> weights;
      double bytes = 0, flop = 0;
      const int per_layer = decoder ? 6 : 4;
      for (int layer = 0; layer < 8; ++layer)
        for (int i = 0; i < per_layer; ++i) {
          const int64_t n = i == 0 ? 3072 : i == 1 ? 8192 : 1024;
          weights.push_back(std::make_unique<Packed>(backend, i == 2 ? w_f.tensor : w_d.tensor.slice(0, n), i == 1));
          bytes += double(weights.back()->bytes) / 1e9;
          flop += 2.0 * double(rows) * double(n) * (i == 2 ? 4096 : 1024) / 1e9;
        }
      const auto product = [&](const Values& x, const Packed& w, Activation activation, bool accumulate,
                               const Values& out) {
        backend.ops().matmul(backend.context(),
                             {RowKind::prefill, x.tensor, w.weight, nullptr, activation, 1, accumulate, out.tensor});
      };
      const Rung rung{backend.ops().name + 4, [&] {
                        for (size_t i = 0; i < weights.size(); i += size_t(per_layer)) {
                          product(d, *weights[i], Activation::none, false, qkv);
                          product(d, *weights[i + 3], Activation::none, false, residual);
                          if (decoder) product(d, *weights[i + 4], Activation::none, false, residual);
                          if (decoder) product(d, *weights[i + 5], Activation::none, false, residual);
                          product(d, *weights[i + 1], Activation::silu, false, f);
                          product(f, *weights[i + 2], Activation::none, true, residual);
                        }
                      }};
      std::vector<Rung> rungs{rung};
      rungs[0].run();
      take_turns(rungs);
      report({decoder ? "150M decoder products" : "150M encoder products", rung.name, "bf16",
              decoder ? "GB/s" : "GFLOP/s", threads, rows, 0, 0, 0, 0, 0},
             rungs[0].seconds, decoder ? bytes : flop,
             decoder ? ceilings_.read[threads] : ceilings_.matrix(rung.name, DType::bf16, threads));
    }
  }

 private:
  // One row of the product as anyone would first write it.
  static void naive_rows(const Values& x, const Values& w, const Values& out) {
    const int64_t k = x.tensor.cols, n = w.tensor.rows;
    for (int64_t c = 0; c < n; ++c) {
      float sum = 0;
      if (x.tensor.type == DType::bf16)
        for (int64_t i = 0; i < k; ++i)
          sum += cpu::float_from_bf16(x.tensor.as<uint16_t>()[i]) *
                 cpu::float_from_bf16(w.tensor.as<uint16_t>()[c * k + i]);
      else
        for (int64_t i = 0; i < k; ++i) sum += x.tensor.as<float>()[i] * w.tensor.as<float>()[c * k + i];
      out.tensor.as<float>()[c] = sum;
    }
  }

  std::vector<const char*> isas_;
  std::vector<int32_t> threads_;
  Ceilings ceilings_;
  std::atomic<uint64_t> sink_{0};
};

void save(const char* path) {
  std::ofstream out(path);
  out << "[";
  for (size_t i = 0; i < figures.size(); ++i) {
    const Figure& f = figures[i];
    char line[512];
    std::snprintf(line, sizeof line,
                  "%s\n  {\"section\": \"%s\", \"rung\": \"%s\", \"type\": \"%s\", \"threads\": %d, \"rows\": %lld, "
                  "\"n\": %lld, "
                  "\"k\": %lld, \"unit\": \"%s\", \"best\": %.2f, \"median\": %.2f, \"of_ceiling\": %.3f}",
                  i == 0 ? "" : ",", f.section.c_str(), f.rung.c_str(), f.type.c_str(), f.threads, (long long)f.rows,
                  (long long)f.n, (long long)f.k, f.unit.c_str(), f.best, f.median, f.of_ceiling);
    out << line;
  }
  out << "\n]\n";
}

}  // namespace

int main(int argc, char** argv) {
  const char* json = argc > 2 && std::strcmp(argv[1], "--json") == 0 ? argv[2] : nullptr;
  const std::string only = json == nullptr && argc > 1 ? argv[1] : "";
  const auto wanted = [&](const char* section) { return std::string(section).find(only) != std::string::npos; };
  Bench bench;
  bench.ceilings();
  if (wanted("packed product"))
    for (DType type : {DType::f32, DType::bf16})
      for (auto [n, k] : {std::pair{4096, 4096}, {1024, 1024}, {8192, 1024}, {1024, 4096}})
        bench.ladder("packed product", type, 512, n, k, false, n == k && k == 4096);
  if (wanted("streamed product"))
    for (DType type : {DType::f32, DType::bf16})
      for (int64_t rows : {1, 2, 4, 8, 16})
        bench.ladder("streamed product", type, rows, (int64_t{256} << 20) / int64_t(size_of(type)) / 4096, 4096, true,
                     false);
  if (wanted("150M decoder products"))
    for (int64_t rows : {1, 4, 16}) bench.model(rows, true);
  if (wanted("150M encoder products")) bench.model(512, false);
  if (json != nullptr) save(json);
  return failures == 0 ? 0 : 1;
}

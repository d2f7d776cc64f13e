// Attention, append, norm and sampling, on every instruction set of this machine: checked against the double-precision loops
// of the tests, then timed. GFLOP/s count 4 x queries x visible keys x head_dim a head; GB/s what must be read once: K and V, or the row.
//
//   attention_bench [--json FILE]
#include <cstdio>
#include <fstream>
#include <functional>
#include <string>

#include "cpu/backend.h"
#include "host_timing.h"
#include "test/attention_case.h"
#include "test/sample_case.h"

using namespace redllm;
using namespace redllm::test;

namespace {

struct Figure {
  std::string what, isa;
  int32_t threads;
  double microseconds, gflops, gigabytes;  // of the best run; 0 where it says nothing
};

std::vector<Figure> figures;

// Best of runs over about 0.4 s: other work on the machine can only add to a run.
void time(Backend& backend, const std::string& what, double flop, double bytes, const std::function<void()>& body) {
  body();
  double best = 1e9;
  const double end = now() + 0.4;
  for (int i = 0; i < 5 || now() < end; ++i) {
    const double start = now();
    body();
    best = std::min(best, now() - start);
  }
  figures.push_back({what, backend.ops().name, backend.threads(), best * 1e6, flop / best / 1e9, bytes / best / 1e9});
  const Figure& f = figures.back();
  std::printf("%-44s %-10s %d  %10.1f us", f.what.c_str(), f.isa.c_str(), f.threads, f.microseconds);
  flop > 0 ? std::printf(" %8.1f GFLOP/s", f.gflops) : std::printf(" %16s", "");
  if (bytes > 0) std::printf(" %7.1f GB/s", f.gigabytes);
  std::printf("\n");
  std::fflush(stdout);
}

struct Shape {
  const char* what;
  int32_t sequences, queries, keys;
  bool one_source;  // all sequences read the same keys
  Mask mask;
  DType type;
};

constexpr int32_t kHeads = 8, kHeadDim = 128;

void bench_attention(Backend& backend, const Shape& shape) {
  Random random(6);
  AttentionCase c;
  c.kv_heads = kHeads;
  c.head_dim = kHeadDim;
  c.scale = 0.088f;
  c.normed = true;
  c.grouped = true;
  CaseSegment& segment = c.segment[0];
  segment.type = shape.type;
  std::vector<int32_t> same_as;
  for (int32_t s = 0; s < shape.sequences; ++s) {
    const bool twin = s > 0 && shape.one_source;
    segment.keys.push_back(shape.keys);
    segment.x.push_back(twin ? segment.x[0] : random.reals(static_cast<size_t>(shape.keys) * 2 * kHeads * kHeadDim));
    same_as.push_back(twin ? s - 1 : -1);
    c.group.push_back(shape.one_source ? 0 : -1);
    c.query_start.push_back(c.query_start.back() + shape.queries);
    for (int32_t t = 0; t < shape.queries; ++t) c.query_index.push_back(t);
    set_mask(segment, shape.mask, shape.keys, shape.queries, random);
  }
  c.q = random.reals(static_cast<size_t>(c.tokens()) * kHeads * kHeadDim, 2);
  lay_out(backend, c, segment, same_as, random);
  // The backend's own memory, as the server uses: huge pages where the system gives them.
  const uint64_t bytes =
      backend.ops().page_bytes(shape.type, 2, kHeads, kHeadDim) * static_cast<uint64_t>(segment.pool.pages);
  void* memory = backend.ops().allocate(backend.context(), bytes);
  std::memcpy(memory, segment.pool.data, bytes);
  segment.memory = {};
  segment.pool.data = memory;

  Output out(DType::f32, c.tokens(), kHeads * kHeadDim);
  const AttentionArgs args = c.args(out.tensor());
  backend.ops().attention(backend.context(), args);
  const auto got = out.values();
  for (const int32_t t : {0, c.tokens() / 2, c.tokens() - 1}) {
    const auto want = reference(part(c, t / shape.queries, t, t + 1));
    CHECK(relative_error(got.data() + int64_t{t} * kHeads * kHeadDim, want.data(), want.size()) < 3e-6);
  }
  double visible = 0;
  for (int32_t t = 0; t < c.tokens(); ++t) visible += segment.right[t] - std::max(0, segment.left[t]);
  const double sources = shape.one_source ? 1 : shape.sequences;
  const double read =
      shape.queries > 1 ? 0 : sources * shape.keys * 2 * kHeads * kHeadDim * static_cast<double>(size_of(shape.type));
  time(backend, std::string(shape.what) + (shape.type == DType::bf16 ? ", bf16" : ", f32"),
       4 * visible * kHeads * kHeadDim, read, [&] { backend.ops().attention(backend.context(), args); });
  backend.ops().release(backend.context(), memory, bytes);
}

void bench_append(Backend& backend, DType type, int32_t tokens) {
  Random random(7);
  const int64_t width = 3 * kHeads * kHeadDim;
  const auto x = random.reals(static_cast<size_t>(tokens * width)),
             table = random.reals(static_cast<size_t>(tokens) * kHeadDim / 2);
  std::vector<float> q(static_cast<size_t>(tokens) * kHeads * kHeadDim);
  std::vector<int32_t> position(static_cast<size_t>(tokens)), page(position), in_page(position);
  for (int32_t t = 0; t < tokens; ++t) position[t] = t, page[t] = t / kPageTokens, in_page[t] = t % kPageTokens;
  std::vector<char> memory(backend.ops().page_bytes(type, 1, kHeads, kHeadDim) *
                           static_cast<size_t>(tokens / kPageTokens + 1));
  AppendArgs a = {};
  a.x = {const_cast<float*>(x.data()), DType::f32, tokens, width};
  a.heads = a.kv_heads = kHeads;
  a.head_dim = kHeadDim;
  a.q_norm = a.k_norm = a.v_norm = {true, 1e-6f, nullptr};
  a.q_rope = a.k_rope = {table.data(), table.data(), kHeadDim / 2};
  a.position = position.data();
  a.q = {q.data(), DType::f32, tokens, kHeads * kHeadDim};
  a.pool = {memory.data(), type, tokens / kPageTokens + 1, 1, kHeads, kHeadDim};
  a.page = page.data();
  a.in_page = in_page.data();
  time(backend, "append " + std::to_string(tokens) + (type == DType::bf16 ? ", bf16" : ", f32"), 0, 0,
       [&] { backend.ops().append(backend.context(), a); });
}

void bench_norm(Backend& backend, int64_t rows) {
  Random random(8);
  const int64_t width = 1024;
  auto x = random.reals(static_cast<size_t>(rows * width));
  const auto gain = random.reals(width);
  std::vector<uint16_t> out(x.size());
  const NormArgs a = {{x.data(), DType::f32, rows, width},
                      {out.data(), DType::bf16, rows, width},
                      {},
                      NormKind::rms,
                      1e-6f,
                      gain.data(),
                      nullptr,
                      false};
  time(backend, "norm " + std::to_string(rows) + " x 1024", 0, static_cast<double>(rows * width) * 6,
       [&] { backend.ops().norm(backend.context(), a); });
}

void bench_sample(Backend& backend, const char* what, int32_t vocabulary, int32_t rows,
                  const std::function<void(SampleCase&)>& set) {
  Random random(9);
  SampleCase c(vocabulary, 20, rows);
  for (int32_t row = 0; row < rows; ++row) {
    auto logits = random.reals(static_cast<size_t>(vocabulary), 1);
    for (float& x : logits) x = 3 * (x + random.real() + random.real() + random.real());
    c.add_row(logits);
    set(c);
    c.slot.back() = c.slot.back() < 0 ? -1 : row;
    c.seed[2 * row] = static_cast<uint32_t>(row);
  }
  SampleCase once = c;
  SampleResult got = sample(backend, once);
  for (int32_t row = 0; row < rows; ++row) {
    const int32_t want = reference_token(c, row);
    CHECK(want < 0 || got.token[row] == want);
  }
  time(backend, std::string("sample ") + what + " " + std::to_string(rows) + " x " + std::to_string(vocabulary), 0, 0,
       [&, a = sample_args(c, got, c.logits)] { backend.ops().sample(backend.context(), a); });
}

void bench(Backend& backend) {
  begin(backend.ops().name);
  for (const DType type : {DType::f32, DType::bf16}) {
    bench_attention(backend, {"encode 512", 1, 512, 512, false, Mask::all, type});
    bench_attention(backend, {"prefill 512, causal", 1, 512, 512, false, Mask::causal, type});
    bench_attention(backend, {"decode 1 at 1024 keys", 1, 1, 1024, false, Mask::all, type});
    bench_attention(backend, {"decode 1 at 16384 keys", 1, 1, 16384, false, Mask::all, type});
    bench_attention(backend, {"decode 16 at 512 keys", 16, 1, 512, false, Mask::all, type});
    bench_attention(backend, {"cross 16, 16 sources of 1024", 16, 1, 1024, false, Mask::all, type});
    bench_attention(backend, {"cross 16, one source of 1024", 16, 1, 1024, true, Mask::all, type});
    bench_append(backend, type, 512);
    bench_append(backend, type, 1);
  }
  bench_norm(backend, 1);
  bench_norm(backend, 512);
  const auto greedy = [](SampleCase& c) { c.temperature.back() = 0; };
  const auto usual = [](SampleCase& c) { c.top_k.back() = 50, c.top_p.back() = 0.9f; };
  const auto mass = [](SampleCase& c) { c.top_p.back() = 0.95f; };
  const auto all = [](SampleCase& c) {
    c.top_p.back() = 0.95f, c.slot.back() = 0, c.repetition.back() = 1.1f, c.presence.back() = 0.5f,
    c.alternatives.back() = 20;
  };
  for (const int32_t vocabulary : {32768, 262144}) {
    bench_sample(backend, "greedy", vocabulary, 1, greedy);
    bench_sample(backend, "top-k 50, top-p 0.9", vocabulary, 1, usual);
    bench_sample(backend, "top-p 0.95", vocabulary, 1, mass);
    bench_sample(backend, "top-p, penalties, 20 best", vocabulary, 1, all);
  }
  bench_sample(backend, "greedy", 32768, 16, greedy);
  bench_sample(backend, "top-k 50, top-p 0.9", 32768, 16, usual);
}

void save(const char* path) {
  std::ofstream file(path);
  file << "[\n";
  for (size_t i = 0; i < figures.size(); ++i) {
    const Figure& f = figures[i];
    file << "  {\"what\": \"" << f.what << "\", \"isa\": \"" << f.isa << "\", \"threads\": " << f.threads
         << ", \"microseconds\": " << f.microseconds << ", \"gflops\": " << f.gflops
         << ", \"gigabytes_per_second\": " << f.gigabytes << (i + 1 < figures.size() ? "},\n" : "}\n");
  }
  file << "]\n";
}

}  // namespace

int main(int argc, char** argv) {
  const char* json = argc == 3 && std::strcmp(argv[1], "--json") == 0 ? argv[2] : nullptr;
  if (argc > 1 && json == nullptr) {
    std::fprintf(stderr, "usage: attention_bench [--json FILE]\n");
    return 2;
  }
  for (const auto& backend : every_backend()) bench(*backend);
  if (json != nullptr) save(json);
  return report();
}

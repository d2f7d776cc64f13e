// Queries and pages after an append, against a double-precision loop. Keys and values are read back through the documented layout.
#include "cpu/page_layout.h"
#include "guarded.h"

using namespace redllm;
using namespace redllm::test;

namespace {

struct Case {
  int32_t tokens, heads, kv_heads, head_dim, half;
  DType type;
  bool keys, norm, gain;
};

using Vector = std::vector<double>;

Vector head_of(const float* x, int32_t dim, const HeadNorm& norm, const Rope& rope, int32_t position) {
  Vector y(x, x + dim);
  if (norm.on) {
    double square = 0;
    for (double value : y) square += value * value;
    const double factor = 1 / std::sqrt(square / dim + norm.eps);
    for (int32_t i = 0; i < dim; ++i) y[i] *= factor * (norm.gain ? norm.gain[i] : 1);
  }
  if (rope.cos == nullptr) return y;
  for (int32_t i = 0; i < rope.half; ++i) {
    const double c = rope.cos[position * rope.half + i], s = rope.sin[position * rope.half + i];
    const double a = y[i], b = y[i + rope.half];
    y[i] = a * c - b * s;
    y[i + rope.half] = b * c + a * s;
  }
  return y;
}

void run(Backend& backend, const Case& c, Random& random) {
  const int32_t dim = c.head_dim, layers = 2, pages = c.tokens / kPageTokens + 3, positions = 100;
  const int64_t width = int64_t{c.heads + 2 * c.kv_heads} * dim;
  const auto x = random.reals(static_cast<size_t>(c.tokens * width), 2);
  const auto q_gain = random.reals(dim), k_gain = random.reals(dim), v_gain = random.reals(dim);
  const auto cos = random.reals(positions * dim), sin = random.reals(positions * dim);
  PagePool pool = {nullptr, c.type, pages, layers, c.kv_heads, dim};
  const size_t page_bytes = backend.ops().page_bytes(c.type, layers, c.kv_heads, dim);
  Guarded<unsigned char> memory(page_bytes * static_cast<size_t>(pages));
  if (c.keys) pool.data = memory.data();
  std::vector<int32_t> slots(static_cast<size_t>(pages * kPageTokens)), page(c.tokens), in_page(c.tokens),
      position(c.tokens);
  for (size_t i = 0; i < slots.size(); ++i) slots[i] = static_cast<int32_t>(i);
  slots = shuffled(slots, random);
  for (int32_t t = 0; t < c.tokens; ++t) {
    page[t] = slots[t] / kPageTokens;
    in_page[t] = slots[t] % kPageTokens;
    position[t] = static_cast<int32_t>(random.integer(0, positions - 1));
  }
  const auto norm = [&](const std::vector<float>& gain) {
    return HeadNorm{c.norm, 1e-6f, c.gain ? gain.data() : nullptr};
  };
  const Rope q_rope = {c.half ? cos.data() : nullptr, sin.data(), c.half};
  const Rope k_rope = {c.half ? sin.data() : nullptr, cos.data(), c.half / 2 ? c.half / 2 : c.half};
  Guarded<float> q(static_cast<size_t>(c.tokens) * c.heads * dim);
  AppendArgs args = {};
  args.x = {const_cast<float*>(x.data()), DType::f32, c.tokens, width};
  args.heads = c.heads;
  args.kv_heads = c.kv_heads;
  args.head_dim = dim;
  args.q_norm = norm(q_gain);
  args.k_norm = norm(k_gain);
  args.v_norm = norm(v_gain);
  args.q_rope = q_rope;
  args.k_rope = k_rope;
  args.position = c.half ? position.data() : nullptr;
  args.q = {c.heads ? q.data() : nullptr, DType::f32, c.tokens, int64_t{c.heads} * dim};
  args.pool = pool;
  args.layer = 1;
  args.page = c.keys ? page.data() : nullptr;
  args.in_page = c.keys ? in_page.data() : nullptr;
  backend.ops().append(backend.context(), args);
  CHECK(q.intact() && memory.intact());

  const double bound = c.type == DType::f32 ? 1e-6 : 4e-3;
  const cpu::PageLayout layout = cpu::page_layout(pool, args.layer);
  std::vector<char> written(memory.size() / size_of(c.type));
  for (int32_t t = 0; t < c.tokens; ++t) {
    const float* row = x.data() + t * width;
    for (int32_t h = 0; h < c.heads; ++h) {
      const Vector want = head_of(row + h * dim, dim, args.q_norm, q_rope, position[t]);
      CHECK(relative_error(q.data() + (t * c.heads + h) * dim, want.data(), want.size()) < 1e-6);
    }
    for (int32_t h = 0; h < (c.keys ? c.kv_heads : 0); ++h) {
      const Vector k = head_of(row + (c.heads + h) * dim, dim, args.k_norm, k_rope, position[t]);
      const Vector v = head_of(row + (c.heads + c.kv_heads + h) * dim, dim, args.v_norm, {}, 0);
      const int64_t start = page[t] * layout.page + layout.layer + h * layout.head;
      std::vector<float> got_k(dim), got_v(dim);
      for (int32_t d = 0; d < dim; ++d) {
        const int64_t at_k = start + d * kPageTokens + in_page[t];
        const int64_t at_v = start + layout.value + in_page[t] * cpu::value_width(dim) + d;
        got_k[d] = element(memory.data(), c.type, at_k);
        got_v[d] = element(memory.data(), c.type, at_v);
        written[at_k] = 1;
      }
      for (int32_t d = 0; d < cpu::value_width(dim); ++d)
        written[start + layout.value + in_page[t] * cpu::value_width(dim) + d] = 1;
      CHECK(relative_error(got_k.data(), k.data(), k.size()) < bound);
      CHECK(relative_error(got_v.data(), v.data(), v.size()) < bound);
      if (!c.norm)
        for (int32_t d = 0; d < dim; ++d) CHECK(got_v[d] == rounded(row[(c.heads + c.kv_heads + h) * dim + d], c.type));
    }
  }
  for (size_t i = 0; i < written.size(); ++i)
    if (!written[i] && !std::isnan(element(memory.data(), c.type, i)))
      CHECK(!"an element that no token owns was written");
}

// Rounding to bf16 at the edges: ties, a carry into the exponent, overflow, subnormals, NaN.
void rounding(Backend& backend) {
  const uint32_t bits[] = {0x3f808000, 0x3f818000, 0x3f807fff, 0x3f808001, 0x3fffffff, 0x7f7fffff,
                           0xff7fffff, 0x00000001, 0x80008000, 0x00018000, 0x7f800000, 0xff800000,
                           0x7f800001, 0xffc00000, 0x7fffffff, 0x80000000};
  std::vector<float> x(32);
  for (int i = 0; i < 16; ++i) x[i] = x[16 + i] = float_of(bits[i]);
  PagePool pool = {nullptr, DType::bf16, 1, 1, 1, 16};
  Guarded<unsigned char> memory(backend.ops().page_bytes(DType::bf16, 1, 1, 16));
  pool.data = memory.data();
  const int32_t zero = 0;
  AppendArgs args = {};
  args.x = {x.data(), DType::f32, 1, 32};
  args.kv_heads = 1;
  args.head_dim = 16;
  args.pool = pool;
  args.page = args.in_page = &zero;
  backend.ops().append(backend.context(), args);
  const auto* elements = reinterpret_cast<const uint16_t*>(memory.data());
  for (int i = 0; i < 16; ++i) {
    CHECK(elements[i * kPageTokens] == bf16_of(x[i]));
    CHECK(elements[16 * kPageTokens + i] == bf16_of(x[i]));
  }
}

}  // namespace

int main() {
  for (const auto& backend : every_backend()) {
    begin(backend->ops().name);
    Random random(3);
    const int32_t dims[] = {8, 16, 24, 64, 80, 128, 256};
    for (int round = 0; round < 60; ++round) {
      const int32_t dim = dims[random.integer(0, 6)], heads = static_cast<int32_t>(random.integer(0, 4));
      const int32_t half = static_cast<int32_t>(random.integer(0, 1) ? dim / 2 : random.integer(0, dim / 2));
      run(*backend,
          {static_cast<int32_t>(random.integer(1, 50)), heads, static_cast<int32_t>(random.integer(1, 3)), dim, half,
           random.integer(0, 1) ? DType::bf16 : DType::f32, heads == 0 || random.integer(0, 2) > 0,
           random.integer(0, 1) == 1, random.integer(0, 1) == 1},
          random);
    }
    rounding(*backend);
  }
  return report();
}

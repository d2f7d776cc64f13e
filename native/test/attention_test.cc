// Attention against the naive loop, and the two promises of ops.h bit for bit: company and split.
#include "attention_case.h"

using namespace redllm;
using namespace redllm::test;

namespace {

std::vector<float> run(Backend& backend, AttentionCase& c) {
  Output out(c.out, c.tokens(), int64_t{c.heads()} * c.head_dim);
  backend.ops().attention(backend.context(), c.args(out.tensor()));
  CHECK(out.intact());
  return out.values();
}

AttentionCase random_case(Backend& backend, Random& random) {
  const int32_t dims[] = {8, 16, 24, 64, 80, 128, 256};
  AttentionCase c;
  c.kv_heads = static_cast<int32_t>(random.integer(1, 2));
  c.shared = static_cast<int32_t>(random.integer(0, 1) ? 1 : random.integer(1, 5));
  c.head_dim = dims[random.integer(0, 6)];
  c.segments = random.integer(0, 2) == 0 ? 2 : 1;
  c.scale = 1 / std::sqrt(static_cast<float>(c.head_dim));
  c.softcap = random.integer(0, 2) == 0 ? 3.0f : 0;
  c.out = random.integer(0, 2) == 0 ? DType::bf16 : DType::f32;
  c.grouped = random.integer(0, 2) == 0;
  const bool long_keys = random.integer(0, 3) == 0;
  const int32_t sequences = static_cast<int32_t>(random.integer(1, 4));
  std::vector<int32_t> same_as[2];
  for (int32_t s = 0; s < c.segments; ++s) c.segment[s].type = random.integer(0, 1) ? DType::bf16 : DType::f32;
  for (int32_t i = 0; i < sequences; ++i) {
    const int32_t most = random.integer(0, 1) ? 1 : c.head_dim > 100 ? 20 : 50;
    const int32_t queries = static_cast<int32_t>(random.integer(random.integer(0, 3) == 0 ? 0 : 1, most));
    const bool follows = i > 0 && random.integer(0, 1);
    c.group.push_back(follows && c.group.back() >= 0 ? c.group.back() : random.integer(0, 1) ? i : -1);
    const bool twin = i > 0 && c.group[i] >= 0 && c.group[i] == c.group[i - 1];
    for (int32_t s = 0; s < c.segments; ++s) {
      CaseSegment& segment = c.segment[s];
      const int64_t width = int64_t{2} * c.kv_heads * c.head_dim;
      same_as[s].push_back(twin && s == 0 ? i - 1 : -1);
      const int32_t keys = twin && s == 0
                               ? segment.keys.back()
                               : std::max(queries, static_cast<int32_t>(random.integer(0, long_keys ? 400 : 60)));
      segment.keys.push_back(keys);
      segment.x.push_back(twin && s == 0 ? segment.x.back() : random.reals(static_cast<size_t>(keys * width)));
      set_mask(segment, static_cast<Mask>(random.integer(0, 5)), keys, queries, random);
    }
    c.query_start.push_back(c.query_start.back() + queries);
    for (int32_t t = 0; t < queries; ++t) c.query_index.push_back(c.segment[0].keys.back() - queries + t);
  }
  c.q = random.reals(static_cast<size_t>(c.tokens()) * c.heads() * c.head_dim, 4);
  if (random.integer(0, 1)) {
    c.reach = static_cast<int32_t>(random.integer(0, 2) == 0 ? random.integer(0, 9) : random.integer(10, 200));
    c.bias = random.reals(static_cast<size_t>(c.heads()) * (2 * c.reach + 1), 2);
  }
  if (random.integer(0, 1)) c.gain = random.reals(c.head_dim);
  c.normed = random.integer(0, 1) == 1;
  for (int32_t s = 0; s < c.segments; ++s) lay_out(backend, c, c.segment[s], same_as[s], random);
  return c;
}

bool matches(const std::vector<float>& part, const std::vector<float>& whole, int64_t first) {
  return std::memcmp(part.data(), whole.data() + first, part.size() * sizeof(float)) == 0;
}

void fuzz(Backend& backend, Backend& other, Random& random) {
  AttentionCase c = random_case(backend, random);
  const auto got = run(backend, c);
  const auto want = reference(c);
  CHECK(relative_error(got.data(), want.data(), got.size()) < (c.out == DType::f32 ? 3e-6 : 4e-3));
  CHECK(same_bits(run(other, c), got));
  const int64_t width = int64_t{c.heads()} * c.head_dim;
  for (int32_t s = 0; s < c.sequences(); ++s) {
    const int32_t first = c.query_start[s], last = c.query_start[s + 1];
    if (first == last) continue;
    // A sequence alone; one of its queries alone; a stretch of them.
    AttentionCase alone = part(c, s, first, last);
    CHECK(matches(run(backend, alone), got, first * width));
    const int32_t t = static_cast<int32_t>(random.integer(first, last - 1));
    AttentionCase single = part(c, s, t, t + 1);
    CHECK(matches(run(backend, single), got, t * width));
    AttentionCase stretch = part(c, s, t, static_cast<int32_t>(random.integer(t + 1, last)));
    CHECK(matches(run(backend, stretch), got, t * width));
    // Other queries see other keys.
    for (int32_t i = first; i < last; ++i)
      if (i != t)
        for (int32_t j = 0; j < c.segments; ++j) {
          alone.segment[j].left[i - first] = static_cast<int32_t>(random.integer(0, c.segment[j].keys[s]));
          alone.segment[j].right[i - first] = static_cast<int32_t>(random.integer(0, c.segment[j].keys[s]));
        }
    const auto changed = run(backend, alone);
    CHECK(std::memcmp(changed.data() + (t - first) * width, got.data() + t * width, width * sizeof(float)) == 0);
  }
}

// A causal prompt in one step, and in random cuts of append and attend, with norms and rotation: the same bits.
void split(Backend& backend, Random& random, DType type) {
  const int32_t heads = 4, kv_heads = 2, dim = random.integer(0, 1) ? 64 : 80,
                tokens = static_cast<int32_t>(random.integer(2, 300));
  const int64_t width = int64_t{heads + 2 * kv_heads} * dim, out_width = int64_t{heads} * dim;
  const auto x = random.reals(static_cast<size_t>(tokens * width));
  const auto cos = random.reals(static_cast<size_t>(tokens * dim / 2)),
             sin = random.reals(static_cast<size_t>(tokens * dim / 2));
  const int32_t prefix = static_cast<int32_t>(random.integer(0, tokens)),
                window = static_cast<int32_t>(random.integer(1, 2 * tokens));
  std::vector<int32_t> pages, left, right, position, page, in_page;
  for (int32_t i = 0; i < (tokens + kPageTokens - 1) / kPageTokens; ++i) pages.push_back(i);
  pages = shuffled(pages, random);
  for (int32_t t = 0; t < tokens; ++t) {
    left.push_back(std::max(0, t + 1 - window));
    right.push_back(t + 1);
    position.push_back(t);
    page.push_back(pages[t / kPageTokens]);
    in_page.push_back(t % kPageTokens);
  }
  const auto pass = [&](const std::vector<int32_t>& cuts) {
    std::vector<unsigned char> memory(backend.ops().page_bytes(type, 1, kv_heads, dim) * pages.size(), 0xff);
    std::vector<float> q(static_cast<size_t>(tokens * out_width)), out(q.size());
    const PagePool pool = {memory.data(), type, static_cast<int32_t>(pages.size()), 1, kv_heads, dim};
    for (size_t i = 0; i + 1 < cuts.size(); ++i) {
      const int32_t first = cuts[i], count = cuts[i + 1] - first, zero = 0;
      AppendArgs a = {};
      a.x = {const_cast<float*>(x.data()) + first * width, DType::f32, count, width};
      a.heads = heads;
      a.kv_heads = kv_heads;
      a.head_dim = dim;
      a.q_norm = a.k_norm = a.v_norm = {true, 1e-6f, nullptr};
      a.q_rope = a.k_rope = {cos.data(), sin.data(), dim / 2};
      a.position = position.data() + first;
      a.q = {q.data() + first * out_width, DType::f32, count, out_width};
      a.pool = pool;
      a.page = page.data() + first;
      a.in_page = in_page.data() + first;
      backend.ops().append(backend.context(), a);
      const int32_t start[] = {0, count};
      AttentionArgs b = {};
      b.q = a.q;
      b.query_start = start;
      b.sequences = 1;
      b.heads = heads;
      b.head_dim = dim;
      b.segment[0] = {pool, 0, pages.data(), &zero, left.data() + first, right.data() + first};
      b.segments = 1;
      b.scale = 0.125f;
      b.out_norm = {true, 1e-6f, nullptr};
      b.out = {out.data() + first * out_width, DType::f32, count, out_width};
      backend.ops().attention(backend.context(), b);
    }
    return out;
  };
  std::vector<int32_t> cuts = {0};
  while (cuts.back() < tokens)
    cuts.push_back(
        std::min(tokens, cuts.back() + static_cast<int32_t>(random.integer(1, random.integer(0, 1) ? 100 : 9))));
  const auto whole = pass({0, tokens});
  CHECK(same_bits(pass(cuts), whole));
  // A prefix that sees itself in both directions, in one step; what follows in cuts.
  for (int32_t t = 0; t < prefix; ++t) right[t] = prefix, left[t] = 0;
  std::vector<int32_t> after = {0};
  for (int32_t cut : cuts)
    if (cut >= prefix && cut > after.back()) after.push_back(cut);
  CHECK(same_bits(pass(after), pass({0, tokens})));
}

// A key that a query does not see may hold anything.
void unseen(Backend& backend, Random& random) {
  AttentionCase c;
  const int32_t keys = 150;
  c.query_start = {0, keys};
  c.segment[0].keys = {keys};
  c.segment[0].x = {random.reals(static_cast<size_t>(keys) * 2 * c.head_dim)};
  c.q = random.reals(static_cast<size_t>(keys) * c.head_dim);
  for (int32_t t = 0; t < keys; ++t) c.query_index.push_back(t);
  set_mask(c.segment[0], Mask::causal, keys, keys, random);
  lay_out(backend, c, c.segment[0], {-1}, random);
  const auto clean = run(backend, c);
  const int32_t at = static_cast<int32_t>(random.integer(0, keys - 1));
  for (float poison : {NAN, INFINITY}) {
    std::fill_n(c.segment[0].x[0].begin() + int64_t{at} * 2 * c.head_dim, 2 * c.head_dim, poison);
    append_keys(backend, c, c.segment[0], 0, at, at + 1);
    const auto got = run(backend, c);
    CHECK(std::memcmp(got.data(), clean.data(), static_cast<size_t>(at) * c.head_dim * sizeof(float)) == 0);
    CHECK(std::isnan(got[static_cast<size_t>(at) * c.head_dim]));
  }
}

// Scores beyond what e^x can hold, and weights that underflow.
void extremes(Backend& backend, Random& random) {
  AttentionCase c;
  c.head_dim = 16;
  c.query_start = {0, 3};
  c.query_index = {0, 1, 2};
  c.segment[0].keys = {300};
  c.segment[0].x = {random.reals(300 * 32, 50)};
  c.q = random.reals(3 * 16, 50);
  set_mask(c.segment[0], Mask::all, 300, 3, random);
  lay_out(backend, c, c.segment[0], {-1}, random);
  const auto got = run(backend, c);
  const auto want = reference(c);
  CHECK(relative_error(got.data(), want.data(), got.size()) < 1e-3);
}

}  // namespace

int main() {
  const auto backends = every_backend();
  for (size_t i = 0; i < backends.size(); ++i) {
    begin(backends[i]->ops().name);
    Random random(4);
    for (int round = 0; round < 100; ++round) fuzz(*backends[i], *backends[i ^ 1], random);
    for (int round = 0; round < 6; ++round) split(*backends[i], random, round % 2 ? DType::bf16 : DType::f32);
    for (int round = 0; round < 4; ++round) unseen(*backends[i], random);
    extremes(*backends[i], random);
  }
  return report();
}

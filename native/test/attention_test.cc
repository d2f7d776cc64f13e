// Attention against the naive loop, and the two promises of ops.h bit for bit: company and split.
#include "attention_random.h"

using namespace redllm;
using namespace redllm::test;

namespace {

// A causal prompt in one step, and in random cuts of append and attend, with norms and rotation: the same bits.
void split(Backend& backend, Random& random, DType type, RowKind kind) {
  const int32_t heads = 4, kv_heads = 2, dim = random.integer(0, 1) ? 64 : 80,
                tokens = static_cast<int32_t>(random.integer(2, emulated(backend) ? 90 : 300));
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
      const int32_t first = cuts[i], count = cuts[i + 1] - first;
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
      const std::vector<int32_t> start = {0, count}, zeros(static_cast<size_t>(count));
      AttentionArgs b = {};
      b.kind = kind;
      b.q = a.q;
      b.query_start = start.data();
      b.sequence = zeros.data();
      b.sequences = 1;
      b.max_queries = count;
      b.max_keys = tokens;
      b.query_index = position.data() + first;
      b.heads = heads;
      b.head_dim = dim;
      b.segment[0] = {pool, 0, pages.data(), zeros.data(), left.data() + first, right.data() + first};
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
void unseen(Backend& backend, Random& random, DType type, RowKind kind) {
  AttentionCase c;
  c.kind = kind;
  c.segment[0].type = type;
  const int32_t keys = emulated(backend) ? 70 : 150;
  c.query_start = {0, keys};
  c.segment[0].keys = {keys};
  c.segment[0].x = {random.reals(static_cast<size_t>(keys) * 2 * c.head_dim)};
  c.q = random.reals(static_cast<size_t>(keys) * c.head_dim);
  for (int32_t t = 0; t < keys; ++t) c.query_index.push_back(t);
  set_mask(c.segment[0], Mask::causal, keys, keys, random);
  lay_out(backend, c, c.segment[0], {-1}, random);
  const auto clean = attend(backend, c);
  const int32_t at = static_cast<int32_t>(random.integer(0, keys - 1));
  for (float poison : {NAN, INFINITY}) {
    std::fill_n(c.segment[0].x[0].begin() + int64_t{at} * 2 * c.head_dim, 2 * c.head_dim, poison);
    append_keys(backend, c, c.segment[0], 0, at, at + 1);
    const auto got = attend(backend, c);
    CHECK(std::memcmp(got.data(), clean.data(), static_cast<size_t>(at) * c.head_dim * sizeof(float)) == 0);
    CHECK(std::isnan(got[static_cast<size_t>(at) * c.head_dim]));
  }
}

// Scores beyond what e^x can hold, and weights that underflow.
void extremes(Backend& backend, Random& random, RowKind kind) {
  AttentionCase c;
  c.kind = kind;
  c.head_dim = 16;
  c.query_start = {0, 3};
  c.query_index = {0, 1, 2};
  c.segment[0].keys = {300};
  c.segment[0].x = {random.reals(300 * 32, 50)};
  c.q = random.reals(3 * 16, 50);
  set_mask(c.segment[0], Mask::all, 300, 3, random);
  lay_out(backend, c, c.segment[0], {-1}, random);
  const auto got = attend(backend, c);
  const auto want = reference(c);
  CHECK(relative_error(got.data(), want.data(), got.size()) < 1e-3);
}

// One sequence or more of causal queries, several heads, f32 or bf16, for what follows.
AttentionCase plain_case(Backend& backend, Random& random, DType type, RowKind kind, int32_t sequences) {
  AttentionCase c;
  c.kind = kind;
  c.kv_heads = c.shared = 2;
  c.head_dim = 64;
  c.scale = 0.125f;
  CaseSegment& segment = c.segment[0];
  segment.type = type;
  for (int32_t s = 0; s < sequences; ++s) {
    const int32_t keys = static_cast<int32_t>(random.integer(20, 90)),
                  queries = static_cast<int32_t>(random.integer(1, kind == RowKind::decode ? 3 : 20));
    segment.keys.push_back(keys);
    segment.x.push_back(random.reals(static_cast<size_t>(keys) * 2 * c.kv_heads * c.head_dim));
    set_mask(segment, Mask::causal, keys, queries, random);
    c.query_start.push_back(c.query_start.back() + queries);
    for (int32_t t = 0; t < queries; ++t) c.query_index.push_back(keys - queries + t);
  }
  c.q = random.reals(static_cast<size_t>(c.tokens()) * c.heads() * c.head_dim, 4);
  c.reach = 7;
  c.bias = random.reals(static_cast<size_t>(c.heads()) * (2 * c.reach + 1), 2);
  lay_out(backend, c, segment, std::vector<int32_t>(static_cast<size_t>(sequences), -1), random);
  return c;
}

// The case with its sequences in another order, over the same pages.
AttentionCase permuted(const AttentionCase& c, const std::vector<int32_t>& order) {
  AttentionCase other = part(c, order[0], c.query_start[order[0]], c.query_start[order[0] + 1]);
  const auto append = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
  for (size_t i = 1; i < order.size(); ++i) {
    const AttentionCase next = part(c, order[i], c.query_start[order[i]], c.query_start[order[i] + 1]);
    other.query_start.push_back(other.query_start.back() + next.tokens());
    append(other.q, next.q);
    append(other.query_index, next.query_index);
    append(other.segment[0].keys, next.segment[0].keys);
    append(other.segment[0].page_start, next.segment[0].page_start);
    append(other.segment[0].left, next.segment[0].left);
    append(other.segment[0].right, next.segment[0].right);
  }
  return other;
}

// What must hold whatever the numbers are.
void invariants(Backend& backend, Random& random, DType type, RowKind kind) {
  AttentionCase c = plain_case(backend, random, type, kind, 4);
  const auto got = attend(backend, c);
  const int64_t width = int64_t{c.heads()} * c.head_dim;
  const double near = !on_device(backend) ? 3e-6 : type == DType::f32 ? 2e-5 : 6e-3;
  const auto close = [&](const std::vector<float>& a) {
    return relative_error(a.data(), got.data(), got.size()) < near;
  };
  CHECK(same_bits(attend(backend, c), got));

  // Pages in another order; sequences in another order.
  AttentionCase elsewhere = c;
  lay_out(backend, elsewhere, elsewhere.segment[0], {-1, -1, -1, -1}, random);
  CHECK(same_bits(attend(backend, elsewhere), got));
  const std::vector<int32_t> order = shuffled(std::vector<int32_t>{0, 1, 2, 3}, random);
  AttentionCase other = permuted(c, order);
  const auto moved = attend(backend, other);
  for (size_t i = 0; i < order.size(); ++i)
    for (int32_t t = 0; t < other.query_start[i + 1] - other.query_start[i]; ++t)
      CHECK(std::memcmp(moved.data() + (other.query_start[i] + t) * width,
                        got.data() + (c.query_start[order[i]] + t) * width, width * sizeof(float)) == 0);

  // A window beyond the first key is none. Bounds of counts may be generous, and groups are a hint.
  AttentionCase wide = c;
  for (int32_t& left : wide.segment[0].left) left = -1 - static_cast<int32_t>(random.integer(0, 1 << 20));
  CHECK(same_bits(attend(backend, wide), got));
  Output out(c.out, c.tokens(), width);
  AttentionArgs generous = c.args(out.tensor());
  generous.max_queries += 37;
  generous.max_keys += 300;
  const std::vector<int32_t> no_group = {-1, -1, -1, -1};
  generous.group = no_group.data();
  backend.ops().attention(backend.context(), generous);
  CHECK(same_bits(out.values(), got));

  // A prefix of no token is causal, one of all is bidirectional.
  AttentionCase prefix = c;
  for (int32_t s = 0; s < c.sequences(); ++s)
    for (int32_t t = c.query_start[s]; t < c.query_start[s + 1]; ++t)
      prefix.segment[0].right[t] = std::max(c.query_index[t] + 1, s % 2 ? c.segment[0].keys[s] : 0);
  const auto both_ways = attend(backend, prefix);
  const auto want = reference(prefix);
  CHECK(relative_error(both_ways.data(), want.data(), want.size()) < attention_bound(backend, prefix, want));
  for (int32_t s = 0; s < c.sequences(); s += 2)
    CHECK(std::memcmp(both_ways.data() + c.query_start[s] * width, got.data() + c.query_start[s] * width,
                      (c.query_start[s + 1] - c.query_start[s]) * width * sizeof(float)) == 0);

  // Within rounding: a soft-cap out of reach; the same added to all of a head's bias; a bound on the logits.
  AttentionCase capped = c;
  capped.softcap = 1e4f;
  CHECK(close(attend(backend, capped)));
  AttentionCase raised = c;
  for (float& value : raised.bias) value += 2.5f;
  CHECK(close(attend(backend, raised)));
  AttentionCase bounded = c;
  bounded.logit_bound = 0.125f * 4 * 64 + 2;
  CHECK(close(attend(backend, bounded)));
  AttentionCase unbiased = c;
  std::fill(unbiased.bias.begin(), unbiased.bias.end(), 0.0f);
  AttentionCase without = c;
  without.bias.clear();
  const auto zero_bias = attend(backend, unbiased), no_bias = attend(backend, without);
  CHECK(relative_error(zero_bias.data(), no_bias.data(), got.size()) < near);

  // Values of one give one: the probabilities of a query sum to 1.
  AttentionCase ones = c;
  for (auto& x : ones.segment[0].x)
    for (size_t i = 0; i < x.size(); ++i)
      if (i / static_cast<size_t>(c.kv_heads * c.head_dim) % 2 == 1) x[i] = 1;
  lay_out(backend, ones, ones.segment[0], {-1, -1, -1, -1}, random);
  for (float value : attend(backend, ones)) CHECK(std::fabs(value - 1) < (near > 1e-3 ? 4e-3 : 1e-5));
}

// Windows and prefixes whose edges cross tiles of keys in every way, for tiles of queries that are full and one that is not.
void edges(Backend& backend, Backend& twin, Random& random, DType type, RowKind kind, int32_t head_dim) {
  const int32_t queries = 150, keys = queries + 170;
  for (const int32_t reach : {1, 17, 63, 64, 65, 100, 129, 300}) {
    if (!on_device(backend) && reach != 17 && reach != 129) continue;
    AttentionCase c;
    c.kind = kind;
    c.head_dim = head_dim;
    c.scale = 0.2f;
    CaseSegment& segment = c.segment[0];
    segment.type = type;
    segment.keys = {keys};
    segment.x = {random.reals(static_cast<size_t>(keys) * 2 * head_dim)};
    c.query_start = {0, queries};
    const int32_t prefix = reach % 2 == 0 ? 0 : static_cast<int32_t>(random.integer(0, keys));
    for (int32_t t = 0; t < queries; ++t) {
      const int32_t at = keys - queries + t;
      c.query_index.push_back(at);
      segment.left.push_back(at + 1 - reach);
      segment.right.push_back(std::max(at + 1, prefix));
    }
    c.q = random.reals(static_cast<size_t>(queries) * head_dim, 4);
    lay_out(backend, c, segment, {-1}, random);
    check_attention(backend, twin, c, random, false);
  }
}

}  // namespace

int main() {
  const auto backends = every_backend();
  for (size_t i = 0; i < backends.size(); ++i) {
    Backend &backend = *backends[i], &twin = *backends[i ^ 1];
    begin(backend.ops().name);
    Random random(4);
    const AttentionSizes sizes = emulated(backend) ? AttentionSizes{3, 70, 150, 400} : AttentionSizes{};
    for (int round = 0; round < rounds(backend, 50, 40); ++round) {
      AttentionCase c = random_attention_case(backend, random, sizes);
      check_attention(backend, twin, c, random, !emulated(backend));
    }
    for (RowKind kind : {RowKind::prefill, RowKind::decode}) {
      if (kind == RowKind::decode && !on_device(backend)) continue;  // the CPU does not tell them apart
      for (DType type : {DType::f32, DType::bf16}) {
        for (int round = 0; round < rounds(backend, 3, 1); ++round) split(backend, random, type, kind);
        for (int round = 0; round < rounds(backend, 2, 1); ++round) unseen(backend, random, type, kind);
        invariants(backend, random, type, kind);
        if (i % 2 == 0) edges(backend, twin, random, type, kind, 64);
        if (i % 2 == 1) edges(backend, twin, random, type, kind, 128);
      }
      extremes(backend, random, kind);
    }
  }
  return report();
}

// Where queries look: probabilities summed over bins of keys. In double, since it is read and never served: a task is one head of one
// token, which takes its keys page by page, first for the greatest logit, then for the sums.
#include <cmath>

#include "cpu/bf16.h"
#include "cpu/ops/ops_internal.h"
#include "cpu/page_layout.h"

namespace REDLLM_ISA_NAMESPACE {

namespace {

struct Query {
  const AttentionArgs* attention;
  const float* bias;  // of the head; null: none
  int32_t index;
  int32_t left, right;
  const char* keys;  // of the head, in page 0
  int64_t page_bytes;
  const int32_t* table;
  double* q;  // [head_dim], scaled
};

// Logits of the keys of one page. K is [head_dim][kPageTokens] there; keys that are not seen may hold anything, and are not used.
template <typename T, typename Read>
void page_logits(const Query& query, int32_t page, Read read, double* logits) {
  const AttentionArgs& a = *query.attention;
  const T* keys = reinterpret_cast<const T*>(query.keys + query.table[page] * query.page_bytes);
  for (int32_t j = 0; j < kPageTokens; ++j) logits[j] = 0;
  for (int32_t d = 0; d < a.head_dim; ++d)
    for (int32_t j = 0; j < kPageTokens; ++j) logits[j] += query.q[d] * read(keys[d * kPageTokens + j]);
  for (int32_t j = 0; j < kPageTokens; ++j) {
    if (a.softcap != 0) logits[j] = a.softcap * ::tanh(logits[j] / a.softcap);
    if (query.bias == nullptr) continue;
    int32_t distance = page * kPageTokens + j - query.index;
    if (distance < -a.reach) distance = -a.reach;
    if (distance > a.reach) distance = a.reach;
    logits[j] += query.bias[distance + a.reach];
  }
}

// Calls use(key, logit) for every key that the query sees, in ascending order.
template <typename Use>
void each_key(const Query& query, Use use) {
  double logits[kPageTokens];
  for (int32_t page = query.left / kPageTokens; page * kPageTokens < query.right; ++page) {
    if (query.attention->segment[0].pool.type == DType::bf16) {
      page_logits<uint16_t>(query, page, [](uint16_t bits) { return double{cpu::float_from_bf16(bits)}; }, logits);
    } else {
      page_logits<float>(query, page, [](float x) { return double{x}; }, logits);
    }
    for (int32_t j = 0; j < kPageTokens; ++j) {
      const int32_t key = page * kPageTokens + j;
      if (key >= query.left && key < query.right) use(key, logits[j]);
    }
  }
}

int32_t bin_of(const AttentionMassArgs& args, const Query& query, int32_t key) {
  if (args.kind == KeyBins::recent) return key < query.index - args.back ? 0 : key <= query.index ? 1 : 2;
  return static_cast<int32_t>(int64_t{key} * args.bins / query.right);
}

}  // namespace

void attention_mass(Context* context, const AttentionMassArgs& args) {
  const AttentionArgs& a = args.attention;
  const KeySegment& segment = a.segment[0];
  const cpu::PageLayout layout = cpu::page_layout(segment.pool, segment.layer);
  const int64_t size = segment.pool.type == DType::bf16 ? 2 : 4;
  const int32_t shared = a.heads / segment.pool.kv_heads;
  cpu::parallel_for(context, a.q.rows * a.heads, [&](int64_t task, int32_t thread) {
    const int64_t token = task / a.heads;
    const int32_t head = static_cast<int32_t>(task % a.heads);
    Query query;
    query.attention = &a;
    query.bias = a.bias == nullptr ? nullptr : a.bias + int64_t{head} * (2 * a.reach + 1);
    query.index = a.query_index[token];
    query.left = segment.left[token] < 0 ? 0 : segment.left[token];
    query.right = segment.right[token];
    query.keys = static_cast<const char*>(segment.pool.data) + (layout.layer + head / shared * layout.head) * size;
    query.page_bytes = layout.page * size;
    query.table = segment.pages + segment.page_start[a.sequence[token]];
    const float* q = static_cast<const float*>(a.q.data) + token * a.q.cols + int64_t{head} * a.head_dim;
    query.q = reinterpret_cast<double*>(context->scratch + thread * context->scratch_bytes);
    for (int32_t d = 0; d < a.head_dim; ++d) query.q[d] = double{q[d]} * a.scale;

    double greatest = -INFINITY, sum = 0;
    each_key(query, [&](int32_t, double logit) { greatest = logit > greatest ? logit : greatest; });
    each_key(query, [&](int32_t, double logit) { sum += ::exp(logit - greatest); });
    float* mass = args.mass + task * args.bins;
    for (int32_t b = 0; b < args.bins; ++b) mass[b] = 0;
    // Bins follow one another as keys do: each is summed up before the next begins.
    double held = 0;
    int32_t bin = 0;
    each_key(query, [&](int32_t key, double logit) {
      const int32_t next = bin_of(args, query, key);
      if (next != bin) held = 0;
      bin = next;
      held += ::exp(logit - greatest) / sum;
      mass[bin] = static_cast<float>(held);
    });
  });
}

}  // namespace REDLLM_ISA_NAMESPACE

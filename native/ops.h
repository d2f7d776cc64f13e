// Every op of the forward pass, declared once: the contract between the transformer (which knows layers, not machines) and a
// backend (which knows machines, not layers). native/cpu/ops/x.cc and native/cuda/ops/x.cu implement the op `x`.
//
// Rules of the house
//  - Arguments are plain data: no exception, no STL type crosses this line, so that a backend may be a library of its own.
//  - No op allocates, and none synchronises; the order of calls on one Context is the order of their effects.
//  - Every pointer in an op's arguments is to the backend's memory (allocate()), unless it says "host". Counts and shapes are the
//    host's.
//  - COMPANY: a row's result depends on that row (and the keys it sees) alone, bit for bit: never on the number of rows beside
//    it, on its place among them, or on the number of threads.
//  - SPLIT (CPU): nor does it depend on how a prompt was cut into steps. Each output of a product is one accumulator that
//    runs over K in ascending order; attention cuts keys into chunks at absolute multiples of kPageTokens and takes them in
//    ascending order. On CUDA it depends on the kind of each row (RowKind), never on the cut otherwise.
//  - "compute type" below is the model's DType: f32, or bf16. In bf16, weights, the left side of every product, and cached K
//    and V are rounded to bf16 (nearest, ties to even); every sum, the residual stream, norms, softmax and logits are f32.
#pragma once

#include <cstdint>

#include "tensor.h"

namespace redllm {

constexpr uint32_t kOpsAbi = 3;

// Tokens of one page of the K/V pool; also the chunk of keys that attention takes at a time.
constexpr int32_t kPageTokens = 16;

struct Context;  // A backend's stream or thread pool. Opaque here.

// What rows are, not how many: a backend chooses its kernel by it, so that a row keeps its bits in any company.
enum class RowKind : int32_t {
  prefill = 0,  // of prompts and sources: many at a time, bound by arithmetic
  decode = 1    // of tokens that were generated: bound by the traffic of weights and keys
};

// ---- weights ------------------------------------------------------------------------------------------------------------

// A matrix W of [n, k] in the backend's own packed layout; y = x W^T. Where `gated`, n = 2 f: logical rows [0, f) are the gate
// and [f, 2f) the values of a gated activation, interleaved by the backend so that its epilogue finds both side by side.
struct Weight {
  void* data = nullptr;
  DType type = DType::f32;  // f32 or bf16
  int32_t n = 0;
  int32_t k = 0;
  bool gated = false;
};

// Copies logical rows [first, first + count) into `to`. `from`: row-major [count, k], type f32, bf16 or f16, alignment of its
// element. Rows may come in any order and grouping; memory of `to` was zeroed by allocate().
struct PackArgs {
  Weight to;
  int32_t first;
  int32_t count;
  const void* from;  // host; may change as soon as pack() returns
  DType from_type;
};

// ---- embedding, norm, product -------------------------------------------------------------------------------------------

// out[t] = table[token] * scale + positions[position_index[t]]   (the second term only where `positions` is given).
// token = tokens[t], or chosen[~tokens[t]] where that is negative: what a sample of an earlier step chose, which the host may not know yet.
// out: f32 [count, table.k]. Tokens and indices are in range: checked by the caller.
struct EmbedArgs {
  const int32_t* tokens;
  const int32_t* chosen;  // null: no token is negative
  int32_t count;
  Weight table;  // [vocabulary, width], packed: a tied head uses the same memory
  float scale;
  const float* positions;         // f32 [*, width], or null
  const int32_t* position_index;  // [count]; unused where positions is null
  Tensor out;
};

// out[i] = from[row[i]], in out's type (f32 or bf16); row == null: row i itself. from: f32 [*, width].
struct GatherArgs {
  Tensor from;
  const int32_t* row;
  Tensor out;
};

enum class NormKind : int32_t { rms = 0, layer = 1 };

// y = norm(x) * gain + bias, over the last axis.   rms: x / sqrt(mean(x^2) + eps)   layer: (x - mean) / sqrt(var + eps)
// accumulate: out += y (f32 only), else out = y. Where `copy` is given it receives y in its own type (post-norm layers keep
// the residual in f32 and feed the next product in the compute type). `out` may be x itself.
struct NormArgs {
  Tensor x;     // f32 [rows, width]
  Tensor out;   // f32 or bf16 [rows, width]
  Tensor copy;  // data == null: none
  NormKind kind;
  float eps;
  const float* gain;  // f32 [width], or null: 1. The "1 + w" of some families is folded in when it is loaded.
  const float* bias;  // f32 [width], or null: 0
  bool accumulate;
};

enum class Activation : int32_t { none = 0, relu = 1, gelu = 2 /* erf */, gelu_tanh = 3, silu = 4 };

// y = x W^T + bias;  z = act(y), or act(y_gate) * y_value where w.gated;  out = z * scale, or out += z * scale.
// x: [rows, k] in the weight's type. out: f32 or bf16 [rows, n] ([rows, n / 2] where gated).
struct MatmulArgs {
  RowKind kind;
  Tensor x;
  Weight w;
  const float* bias;  // f32 [n] in logical order, or null
  Activation activation;
  float scale;
  bool accumulate;  // out must be f32
  Tensor out;
};

// ---- attention ----------------------------------------------------------------------------------------------------------

// One pool of pages. A page holds kPageTokens tokens of K and V for `layers` layers; the layout inside a page is the backend's.
// One page takes page_bytes(layers, kv_heads, head_dim, type) bytes; page p starts at data + p * that.
struct PagePool {
  void* data = nullptr;
  DType type = DType::f32;  // f32 or bf16
  int32_t pages = 0;
  int32_t layers = 0;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
};

// Rotation by halves: (a, b) at distance `half` becomes (a c - b s, b c + a s), angle = position * inverse frequency.
struct Rope {
  const float* cos = nullptr;  // f32 [max position, half]; null: no rotation
  const float* sin = nullptr;
  int32_t half = 0;  // dimensions [2 * half, head_dim) pass through
};

// A norm over head_dim, of each head by itself, before the rotation.
struct HeadNorm {
  bool on = false;
  float eps = 0;
  const float* gain = nullptr;  // f32 [head_dim], or null: parameter-free
};

// Splits the rows of a fused product into heads, norms and rotates them, leaves Q in `q` and appends K and V to pages.
// x: f32 [tokens, (heads + 2 kv_heads) * head_dim], in the order Q, K, V; heads == 0: no Q part (filling cross K/V);
// pool.data == null: no K, V part (the query of a cross-attention). K and V are rounded to the pool's type.
// page[t] < 0: K and V of that token go nowhere (rows that only fill a launch up to its size).
struct AppendArgs {
  Tensor x;
  int32_t heads;
  int32_t kv_heads;
  int32_t head_dim;
  HeadNorm q_norm, k_norm, v_norm;
  Rope q_rope, k_rope;
  const int32_t* position;  // [tokens], the rotation's position; unused without rotation
  Tensor q;                 // f32 [tokens, heads * head_dim]
  PagePool pool;
  int32_t layer;           // inside the page
  const int32_t* page;     // [tokens] page that holds the token
  const int32_t* in_page;  // [tokens] its place there, 0 .. kPageTokens - 1
};

// Keys that a row of queries may see, in one pool of pages.
struct KeySegment {
  PagePool pool;
  int32_t layer;
  const int32_t* pages;  // page tables of all sequences, one after the other
  const int32_t*
      page_start;  // [sequences] where in `pages` each sequence's table starts: key k lies in pages[start + k / kPageTokens]
  const int32_t* left;  // [tokens] a query sees keys left <= k < right
  const int32_t* right;
};

// out = norm(softmax(scale * q K^T + bias) V), per head. Two segments are one softmax over the keys of both, first segment first.
// soft-cap: cap * tanh(logit / cap) after scale and before bias. A query that sees no key gives zeros.
// bias[h][clamp(k - query_index, -reach, reach) + reach] is added to the logits of the first segment.
// Both segments' pools have the same kv_heads and head_dim; head_dim is a multiple of 8, heads of kv_heads.
// logit_bound > 0: no logit is greater in magnitude (normed queries and keys without gain: scale * head_dim), so that a backend may
// do without a running maximum.
struct AttentionArgs {
  RowKind kind;
  Tensor q;                    // f32 [tokens, heads * head_dim]
  const int32_t* query_start;  // [sequences + 1] tokens of each sequence
  const int32_t* sequence;     // [tokens] the sequence that a token belongs to
  int32_t sequences;
  int32_t max_queries;         // no sequence has more tokens
  int32_t max_keys;            // no `right` of any segment is greater
  const int32_t* query_index;  // [tokens] index of the query among its own keys; used by the bias alone
  const int32_t* group;  // [sequences] sequences with an equal number >= 0 read the same pages of segment 0 throughout
                         // (cross-attention of rows with one source); null: none do. A hint for speed only.
  int32_t heads;
  int32_t head_dim;
  KeySegment segment[2];
  int32_t segments;
  float scale;
  float softcap;      // 0: none
  float logit_bound;  // 0: unknown
  const float* bias;  // f32 [heads, 2 * reach + 1], or null
  int32_t reach;
  HeadNorm out_norm;  // RedLLM's norm of the attention's output
  Tensor out;         // f32 or bf16 [tokens, heads * head_dim]
};

// How the keys of a query are told apart where its attention is looked at.
enum class KeyBins : int32_t {
  recent = 0,  // three: keys before query_index - back; those from there up to query_index; those behind it
  equal = 1    // `bins` parts of the keys [0, right): part b begins at key ceil(b right / bins)
};

// For probes: where the queries of an attention look. mass[t][h][b] is the sum of the probabilities of the keys in bin b; zeros where
// a query sees no key. Simple before fast: nothing calls it while a model serves.
struct AttentionMassArgs {
  AttentionArgs attention;  // of one segment; out and out_norm are unused
  KeyBins kind;
  int32_t back;  // of `recent`
  int32_t bins;  // 3 where `recent`
  float* mass;   // f32 [tokens, heads, bins]
};

// Copies whole pages, to[i] = from[i], all layers: a partly filled page that is shared is copied before it is written.
struct CopyPagesArgs {
  PagePool pool;
  const int32_t* from;
  const int32_t* to;
  int32_t count;
};

// ---- sampling -----------------------------------------------------------------------------------------------------------

// Token counts of a decoding row, for penalties: how often each token stood in its prompt and in its output.
// history: int32 [slots, 2, vocabulary]: [slot][0] prompt counts, [slot][1] output counts.

// Clears a slot's counts and counts the given tokens: the first `prompt` of them as prompt, the rest as output.
// tokens: may be null where count is 0
struct HistoryArgs {
  int32_t* history;
  int32_t vocabulary;
  int32_t slot;
  const int32_t* tokens;
  int32_t count;
  int32_t prompt;
};

// One row of logits to one token. In this order:
//   1 log-probabilities of the model: log softmax(logits), natural logarithm (reported, never altered by what follows)
//   2 repetition penalty r (arXiv 1909.05858): logit > 0 ? logit / r : logit * r, for tokens of prompt or output
//   3 logit -= frequency * output count + presence * (output count > 0)
//   4 logit += bias (a bias of -infinity bans the token); where the row has a list of allowed tokens, all others are banned
//   5 temperature 0: the token of the greatest logit, the lowest id among equals. Else logit /= temperature, and
//   6 min-p: keep p >= min_p * p_max;  7 top-k: keep the k greatest (0: all; ties at the edge all stay);
//   8 top-p: over what is left, keep the smallest set of the most probable whose mass reaches top_p (ties at the edge all stay)
//   9 draw u in [0, 1) = Philox4x32-10(key = seed, counter = step) and take, in order of token id, the first kept token at which the
//     running sum of probabilities exceeds u times their total. The key is (low word, high word), the counter (step, 0, 0, 0), and u
//     the first word / 2^32.
// A logit of NaN counts as -infinity, +infinity as the greatest finite number. Where every token is banned, the choice is the
// first of the allowed tokens, or token 0 where there is no such list.
// A `forced` token >= 0 replaces the choice; its log-probability is still the model's.
// Steps 2 to 4 before 1 have no effect on reported numbers: they are of the model.
// Where `candidates` is 1 the reported tokens are those that a search may go on with: tokens with a bias of -infinity, those that
// are not in the row's list of allowed ones, and those of a logit of -infinity are left out, and fewer may be found than were asked for. Their numbers stay those of step 1.
constexpr int32_t kMaxVocabulary = 1 << 19;

struct SampleArgs {
  Tensor logits;        // f32 [rows, vocabulary <= kMaxVocabulary], overwritten
  const int32_t* slot;  // [rows] history slot, or -1: no penalty is used
  int32_t* history;     // see above; sampled tokens are counted into their slot's output
  const float* temperature;
  const float* top_p;
  const float* min_p;
  const float* repetition;
  const float* presence;
  const float* frequency;
  const int32_t* top_k;
  const uint32_t* seed;   // [rows, 2] low word, high word
  const int32_t* step;    // [rows] number of tokens this row has generated so far
  const int32_t* forced;  // [rows] or -1
  const int32_t*
      alternatives;  // [rows] how many of the most probable tokens to report; -1: not even the chosen one's log-probability
  const int32_t* candidates;  // [rows] 1: banned tokens are left out of the reported ones; 0: they are not
  const int32_t* bias_start;  // [rows + 1]
  const int32_t* bias_token;
  const float* bias_value;
  const int32_t* allow_start;  // [rows + 1] a row whose range is empty may choose any token
  const int32_t* allow_token;
  int32_t max_alternatives;  // width of the two tables below
  // out
  int32_t* token;  // [rows]
  float* logprob;  // [rows] of the chosen token; 0 where not asked
  int32_t* rank;   // [rows] 1 + number of tokens more probable than the chosen one; 0 where not asked
  int32_t*
      top_token;  // [rows, max_alternatives] most probable first, lower id first among equals; -1 beyond what was asked or found
  float* top_logprob;  // [rows, max_alternatives]
};

// ---- the table ----------------------------------------------------------------------------------------------------------

// `bytes` bytes between host memory and the backend's. Both sides are aligned to 4 bytes, and so is the count. Those of one call are written
// in any order, so none overlaps another.
struct Piece {
  void* to;
  const void* from;
  uint64_t bytes;
};

struct Ops {
  uint32_t abi;
  const char* name;  // e.g. "cpu avx512"
  // allocate() gives memory that the host may read and write as its own, and every op is done when it returns.
  bool host_memory;

  // Memory is zeroed, aligned to at least 64 bytes; on the CPU the operating system commits it as it is touched. Null: out of memory.
  void* (*allocate)(Context*, uint64_t bytes);
  void (*release)(Context*, void* data, uint64_t bytes);
  // Bytes that allocate() could still give, and all there are; 0, 0 where that is not known (the CPU).
  void (*memory)(Context*, uint64_t* free, uint64_t* total);

  // In order with the ops. The host's side may change as soon as upload() returns.
  void (*upload)(Context*, const Piece* pieces, int32_t count);
  // Starts copies to the host, in order with the ops, and returns a ticket; wait(ticket) returns when the host's side is filled.
  // Tickets are waited for in the order in which they were given; at most kTickets are out at a time.
  uint64_t (*download)(Context*, const Piece* pieces, int32_t count);
  void (*wait)(Context*, uint64_t ticket);

  // A run of ops that is repeated with equal arguments may be replayed as one: begin_run() returns true where it did so; else the
  // caller calls the ops and then end_run(). Equal (owner, key) promises equal ops, arguments and shapes; what lies behind the
  // pointers may differ. drop_runs(owner) forgets those of an owner whose memory is about to be released.
  // end_run() returns false where the ops were recorded, in vain: the caller calls them once more, and then end_run() again. Between the
  // two stand ops alone, no upload and no download.
  bool (*begin_run)(Context*, uint64_t owner, uint64_t key);
  bool (*end_run)(Context*);
  void (*drop_runs)(Context*, uint64_t owner);

  // Null while all is well; else a sentence. What has failed stays failed: nothing that the device holds can be trusted then.
  const char* (*error)(Context*);

  uint64_t (*weight_bytes)(DType type, int32_t n, int32_t k, bool gated);
  void (*pack)(Context*, const PackArgs&);
  uint64_t (*page_bytes)(DType type, int32_t layers, int32_t kv_heads, int32_t head_dim);

  void (*embed)(Context*, const EmbedArgs&);
  void (*gather)(Context*, const GatherArgs&);
  void (*norm)(Context*, const NormArgs&);
  void (*matmul)(Context*, const MatmulArgs&);
  void (*append)(Context*, const AppendArgs&);
  void (*attention)(Context*, const AttentionArgs&);
  void (*attention_mass)(Context*, const AttentionMassArgs&);
  void (*copy_pages)(Context*, const CopyPagesArgs&);
  void (*set_history)(Context*, const HistoryArgs&);
  void (*sample)(Context*, const SampleArgs&);
};

constexpr int32_t kTickets = 2;

}  // namespace redllm

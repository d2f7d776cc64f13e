// Attention over pages. A task is up to kTaskRows queries of one key/value head (rows: tokens x the query heads that share it); it takes
// the keys that any of them sees block by block, and inside a block its rows by tiles, so that a block is read from memory once a task.
#include "cpu/ops/attention_softmax.h"
#include "cpu/ops/attention_tile.h"
#include "cpu/ops/ops_internal.h"
#include "cpu/ops/row_norm.h"

namespace REDLLM_ISA_NAMESPACE {

namespace {

constexpr int32_t kTaskRows = 32;

// Tokens that read the same pages: of one sequence, or of neighbours in one group.
struct Unit {
  int32_t first_token;
  int32_t tokens;
  int32_t sequence;  // whose page tables
  int32_t task;      // number of its first task
};

// The units lie at the start of thread 0's scratch, the rows of a task behind them.
constexpr int32_t kMaxUnits = 65536;
constexpr int64_t kUnitBytes = int64_t{kMaxUnits} * sizeof(Unit);

struct Rows {
  int32_t count;
  int32_t token[kTaskRows];
  int32_t head[kTaskRows];
  int32_t left[kTaskRows];  // keys that the row sees in the segment at hand
  int32_t right[kTaskRows];
  float maximum[kTaskRows];
  float* q;    // tiles of [head_dim][rows of the tile], one after the other, scaled
  float* sum;  // [row][kLanes]
  float* out;  // [row][width]
  int64_t width;
  float* scores;  // [kTileRows][kBlockKeys], of the tile at hand
};

template <typename T>
struct Block {
  int32_t first_key;
  const T* keys[kBlockPages];
  const T* values[kBlockPages];
  const T* next[kBlockPages];  // keys of the block after it
};

// Rows of the next tile where `left` rows remain: a power of two, so that few shapes are compiled.
int32_t tile_rows(int32_t left) {
  int32_t rows = kTileRows;
  while (rows > left) rows /= 2;
  return rows;
}

template <int R, typename T>
void attend_tile(const AttentionArgs& a, bool biased, const Block<T>& block, Rows& rows, int32_t row) {
  int32_t first[R], last[R];
  int32_t low = kBlockKeys, high = 0;                // keys that some row sees
  int32_t common_low = 0, common_high = kBlockKeys;  // keys that all rows see
  for (int r = 0; r < R; ++r) {
    const int32_t from = rows.left[row + r] - block.first_key, to = rows.right[row + r] - block.first_key;
    first[r] = from < 0 ? 0 : from;
    last[r] = to > kBlockKeys ? kBlockKeys : to;
    common_low = first[r] > common_low ? first[r] : common_low;
    common_high = last[r] < common_high ? last[r] : common_high;
    if (first[r] >= last[r]) continue;
    low = first[r] < low ? first[r] : low;
    high = last[r] > high ? last[r] : high;
  }
  if (low >= high) return;
  float* s = rows.scores;
  score_block<R, score_width<R>()>(rows.q + static_cast<int64_t>(row) * a.head_dim, a.head_dim, block.keys,
                                   block.values, low / kPageTokens, (high + kPageTokens - 1) / kPageTokens, s);
  for (int r = 0; r < R; ++r) {
    if (first[r] >= last[r]) continue;
    const int32_t i = row + r;
    Logit logit = {a.softcap, nullptr, a.reach, 0};
    if (biased) {
      logit.bias = a.bias + static_cast<int64_t>(rows.head[i]) * (2 * a.reach + 1);
      logit.offset = block.first_key - a.query_index[rows.token[i]];
    }
    const float factor =
        softmax_block(logit, first[r], last[r], s + r * kBlockKeys, &rows.maximum[i], rows.sum + i * kLanes);
    if (factor == 1) continue;
    float* out = rows.out + i * rows.width;
    for (int64_t d = 0; d < rows.width; d += kLanes) store(out + d, mul(load(out + d), splat(factor)));
  }
  // Keys that only some rows see are left out of the others' sums, not weighed by zero: zero times an infinity is not neutral.
  const bool shared = R > 1 && common_low < common_high;
  float* out = rows.out + row * rows.width;
  for (int r = 0; r < R; ++r)
    weigh_block<1>(s + r * kBlockKeys, block.values, block.next, first[r], shared ? common_low : last[r], rows.width,
                   out + r * rows.width);
  if (!shared) return;
  weigh_block<R>(s, block.values, block.next, common_low, common_high, rows.width, out);
  for (int r = 0; r < R; ++r)
    weigh_block<1>(s + r * kBlockKeys, block.values, block.next, common_high, last[r], rows.width,
                   out + r * rows.width);
}

template <typename T>
void attend_segment(const AttentionArgs& a, int32_t index, int32_t sequence, int32_t kv_head, Rows& rows) {
  const KeySegment& segment = a.segment[index];
  int32_t low = INT32_MAX, high = 0;
  for (int32_t i = 0; i < rows.count; ++i) {
    rows.left[i] = segment.left[rows.token[i]] < 0 ? 0 : segment.left[rows.token[i]];
    rows.right[i] = segment.right[rows.token[i]];
    if (rows.left[i] >= rows.right[i]) continue;
    low = rows.left[i] < low ? rows.left[i] : low;
    high = rows.right[i] > high ? rows.right[i] : high;
  }
  const cpu::PageLayout layout = cpu::page_layout(segment.pool, segment.layer);
  const T* base = static_cast<const T*>(segment.pool.data) + layout.layer + kv_head * layout.head;
  const int32_t* table = segment.pages + segment.page_start[sequence];
  const bool biased = index == 0 && a.bias != nullptr;
  Block<T> block;
  for (block.first_key = low / kBlockKeys * kBlockKeys; block.first_key < high; block.first_key += kBlockKeys) {
    const int32_t from = low > block.first_key ? low : block.first_key;
    const int32_t to = high < block.first_key + kBlockKeys ? high : block.first_key + kBlockKeys;
    for (int32_t page = from / kPageTokens; page * kPageTokens < to; ++page) {
      const int32_t place = page - block.first_key / kPageTokens;
      block.keys[place] = base + table[page] * layout.page;
      block.values[place] = block.keys[place] + layout.value;
      block.next[place] =
          base + table[(page + kBlockPages) * kPageTokens < high ? page + kBlockPages : page] * layout.page;
    }
    for (int32_t row = 0; row < rows.count;) {
      const int32_t count = tile_rows(rows.count - row);
      if (count == 1) attend_tile<1>(a, biased, block, rows, row);
      if (count == 2) attend_tile<2>(a, biased, block, rows, row);
      if constexpr (kTileRows >= 4)
        if (count == 4) attend_tile<4>(a, biased, block, rows, row);
      if constexpr (kTileRows >= 8)
        if (count == 8) attend_tile<8>(a, biased, block, rows, row);
      row += count;
    }
  }
}

void load_queries(const AttentionArgs& a, Rows& rows) {
  for (int32_t row = 0; row < rows.count;) {
    const int32_t count = tile_rows(rows.count - row);
    float* tile = rows.q + static_cast<int64_t>(row) * a.head_dim;
    for (int32_t r = 0; r < count; ++r) {
      const float* q =
          static_cast<const float*>(a.q.data) + rows.token[row + r] * a.q.cols + rows.head[row + r] * a.head_dim;
      for (int32_t d = 0; d < a.head_dim; ++d) tile[d * count + r] = q[d] * a.scale;
    }
    row += count;
  }
  for (int32_t row = 0; row < rows.count; ++row) {
    rows.maximum[row] = -kInfinity;
    store(rows.sum + row * kLanes, splat(0));
    for (int64_t d = 0; d < rows.width; d += kLanes) store(rows.out + row * rows.width + d, splat(0));
  }
}

void store_outputs(const AttentionArgs& a, Rows& rows) {
  for (int32_t row = 0; row < rows.count; ++row) {
    float* x = rows.out + row * rows.width;
    const float sum = reduce_add(load(rows.sum + row * kLanes));
    const vf inverse = splat(sum == 0 ? 0 : 1.0f / sum);
    for (int64_t d = 0; d < rows.width; d += kLanes) store(x + d, mul(load(x + d), inverse));
    if (sum != 0) apply(a.out_norm, x, a.head_dim);
    const int64_t at = rows.token[row] * a.out.cols + static_cast<int64_t>(rows.head[row]) * a.head_dim;
    const bool half = a.out.type == DType::bf16;
    for_lanes(a.head_dim, [&](int32_t i, int32_t n) {
      if (half) {
        store_upto(static_cast<bf16*>(a.out.data) + at + i, load(x + i), n);
      } else {
        store_upto(static_cast<float*>(a.out.data) + at + i, load(x + i), n);
      }
    });
  }
}

// Rows [first_row, first_row + count) of a unit and one key/value head; row = token x shared + query head among those that share it.
void attend(const AttentionArgs& a, const Unit& unit, int32_t kv_head, int32_t first_row, int32_t count,
            char* scratch) {
  const int32_t shared = a.heads / a.segment[0].pool.kv_heads;
  Rows rows;
  rows.count = count;
  rows.width = cpu::value_width(a.head_dim);
  rows.scores = reinterpret_cast<float*>(scratch + kUnitBytes);
  rows.sum = rows.scores + kTileRows * kBlockKeys;
  rows.out = rows.sum + kTaskRows * kLanes;
  rows.q = rows.out + kTaskRows * rows.width;
  for (int32_t i = 0; i < count; ++i) {
    rows.token[i] = unit.first_token + (first_row + i) / shared;
    rows.head[i] = kv_head * shared + (first_row + i) % shared;
  }
  load_queries(a, rows);
  for (int32_t s = 0; s < a.segments; ++s) {
    if (a.segment[s].pool.type == DType::bf16) {
      attend_segment<bf16>(a, s, unit.sequence, kv_head, rows);
    } else {
      attend_segment<float>(a, s, unit.sequence, kv_head, rows);
    }
  }
  store_outputs(a, rows);
}

int32_t tasks_of(int32_t rows) {
  return (rows + kTaskRows - 1) / kTaskRows;
}

}  // namespace

void attention(Context* context, const AttentionArgs& a) {
  const int32_t kv_heads = a.segment[0].pool.kv_heads, shared = a.heads / kv_heads;
  Unit* units = reinterpret_cast<Unit*>(context->scratch);
  for (int32_t sequence = 0; sequence < a.sequences;) {
    int32_t count = 0, tasks = 0;
    while (sequence < a.sequences && count < kMaxUnits) {
      Unit& unit = units[count++];
      unit = {a.query_start[sequence], 0, sequence, tasks};
      const int32_t group = a.group != nullptr && a.segments == 1 ? a.group[sequence] : -1;
      do ++sequence;
      while (group >= 0 && sequence < a.sequences && a.group[sequence] == group);
      unit.tokens = a.query_start[sequence] - unit.first_token;
      tasks += kv_heads * tasks_of(unit.tokens * shared);
    }
    cpu::parallel_for(context, tasks, [&](int64_t index, int32_t thread) {
      int32_t low = 0, high = count;  // units[low].task <= index < units[high].task
      while (high - low > 1) {
        const int32_t middle = (low + high) / 2;
        (units[middle].task <= index ? low : high) = middle;
      }
      const int32_t rows = units[low].tokens * shared, blocks = tasks_of(rows);
      const int32_t task = static_cast<int32_t>(index) - units[low].task;
      const int32_t first_row = task % blocks * kTaskRows;
      const int32_t rest = rows - first_row;
      attend(a, units[low], task / blocks, first_row, rest < kTaskRows ? rest : kTaskRows,
             context->scratch + thread * context->scratch_bytes);
    });
  }
}

}  // namespace REDLLM_ISA_NAMESPACE

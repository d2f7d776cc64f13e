#include "cuda/ops/attention_decode.cuh"

#include <algorithm>

#include "cuda/ops/attention_decode_rows.cuh"
#include "cuda/ops/attention_decode_stream.cuh"

namespace redllm::cuda {

namespace decode {

// Shared memory of a block: the warps' rings, whose places the warps' values take at the end of an item, and
template <int D>
struct Block {
  Piece16 queries[kTileRows * Shape<D>::kPieces];
  float maxima[kWarps * kTileRows];
  float sums[kWarps * kTileRows];
  // What is known of the item at hand: out of the way of the loop's registers.
  Tile tile;
  TileChunks chunks;
  int32_t segment;
  int32_t chunk;
  Work work;
};

template <int D>
constexpr int block_bytes() {
  return kWarps * Shape<D>::kRingBytes + static_cast<int>(sizeof(Block<D>));
}

// A lane's share of what a warp knows of an item: row lane % 16 of the tile, and page lane of the chunk.
struct LaneShare {
  KeyRange range[2];
  int32_t query_index;
  int32_t head;
  uint32_t seen;  // bit k where some row sees key k of the page
  int32_t page;   // in the pool
};

template <int D>
__device__ __forceinline__ TileChunks find_rows(const AttentionArgs& a, const Tile& tile, LaneShare& lane) {
  const int row = threadIdx.x % kTileRows;
  const int32_t shared = a.heads / a.segment[0].pool.kv_heads;
  const int32_t token = tile.token + (tile.row + row) / shared;
  lane.head = tile.kv_head * shared + (tile.row + row) % shared;
  lane.query_index = 0;
  lane.range[0] = lane.range[1] = {};
  if (row < tile.rows) {
    lane.range[0] = key_range<Shape<D>::kChunkKeys>(a.segment[0].left, a.segment[0].right, token);
    if (a.segments == 2) lane.range[1] = key_range<Shape<D>::kChunkKeys>(a.segment[1].left, a.segment[1].right, token);
    if (a.bias != nullptr) lane.query_index = a.query_index[token];
  } else {
    lane.head = 0;
  }
  TileChunks chunks = {{lane.range[0].low, lane.range[1].low}, {lane.range[0].high, lane.range[1].high}};
  for (int mask = 1; mask < kTileRows; mask *= 2) {
#pragma unroll
    for (int s = 0; s < 2; ++s) {
      chunks.low[s] = least(chunks.low[s], shuffle_xor(chunks.low[s], mask));
      chunks.high[s] = most(chunks.high[s], shuffle_xor(chunks.high[s], mask));
    }
  }
  return chunks;
}

// Bits [from, to) of a page's 16 keys.
__device__ __forceinline__ uint32_t key_bits(int32_t from, int32_t to) {
  const int32_t low = most(from, 0), high = least(to, kPageTokens);
  return low < high ? (1u << high) - (1u << low) : 0;
}

// The pages of a chunk that begins with page `first`.
template <int D>
__device__ __forceinline__ void find_pages(const KeySegment& segment, int32_t sequence, int32_t first, int rows,
                                           const KeyRange& range, LaneShare& share) {
  const int lane = threadIdx.x % kWarp;
  const int32_t key = (first + lane) * kPageTokens;
  share.seen = 0;
  for (int row = 0; row < rows; ++row)
    share.seen |= key_bits(shuffle(range.left, row) - key, shuffle(range.right, row) - key);
  if (lane >= Shape<D>::kChunkPages) share.seen = 0;
  share.page = share.seen == 0 ? 0 : segment.pages[segment.page_start[sequence] + first + lane];
}

// Whether this block is the last of `count` to come here, which leaves the counter at zero. All threads.
__device__ __forceinline__ bool arrive(int32_t* counter, int32_t count, Work& work) {
  fence_device();
  sync_block();
  if (threadIdx.x == 0) {
    work.last = atomic_add(counter, 1) == count - 1;
    if (work.last) *counter = 0;
  }
  sync_block();
  const bool last = work.last;
  fence_device();
  return last;
}

// The warps' shares of an item, in shared memory, to the rows' output, or to partial results and by the last of them to the output.
template <int D>
__device__ __forceinline__ void close_item(const Params& p, const char* rings, Block<D>& block) {
  const AttentionArgs& a = p.a;
  const Tile tile = block.tile;
  const TileChunks chunks = block.chunks;
  const int32_t segment = block.segment, chunk = block.chunk;
  const int warp = threadIdx.x / kWarp;
  const int32_t shared = a.heads / a.segment[0].pool.kv_heads;
  const int32_t span = chunk / kSpanChunks;
  const int32_t low = segment == 0 ? chunks.low[0] : chunks.low[1],
                high = segment == 0 ? chunks.high[0] : chunks.high[1];
  const int32_t first = most(low, span * kSpanChunks), end = least(high, (span + 1) * kSpanChunks);
  const int32_t spans[2] = {chunks.spans(0), chunks.spans(1)};
  const bool direct = chunks.count(0) + chunks.count(1) <= 1, one_span = spans[0] + spans[1] <= 1;

  const int64_t stride = a.head_dim + kPartialHead;
  const int32_t chunk_slots = a.segments * p.chunks, slots = chunk_slots + a.segments * p.spans;
  const auto token_of = [&](int row) { return tile.token + (tile.row + row) / shared; };
  const auto head_of = [&](int row) { return (tile.row + row) % shared; };
  const auto slots_of = [&](int row) {
    const int64_t number =
        (int64_t{token_of(row) - p.first_token} * p.kv_heads + tile.kv_head - p.first_head) * shared + head_of(row);
    return p.partials + number * slots * stride;
  };
  const auto write = [&](int row, RowPart<D>& part) {
    write_row(a, part, token_of(row), tile.kv_head * shared + head_of(row));
  };

  for (int row = warp; row < tile.rows; row += kWarps) {
    RowPart<D> part = join_warps<D>(rings, Shape<D>::kRingBytes, block.maxima, block.sums, row);
    if (direct) {
      write(row, part);
    } else {
      store_part(part, slots_of(row) + (segment * p.chunks + chunk) * stride, a.head_dim);
    }
  }
  if (direct) return;
  int32_t* counters =
      p.counters + 1 + (int64_t{tile.index} * p.kv_heads + tile.kv_head - p.first_head) * (a.segments * p.spans + 1);
  if (!arrive(counters + 1 + segment * p.spans + span, end - first, block.work)) return;
  for (int row = warp; row < tile.rows; row += kWarps) {
    float* const of_row = slots_of(row);
    RowPart<D> part = join_slots<D>(
        {of_row + (segment * p.chunks + first) * stride, stride, end - first, end - first, 0}, a.head_dim);
    if (one_span) {
      write(row, part);
    } else {
      store_part(part, of_row + (chunk_slots + segment * p.spans + span) * stride, a.head_dim);
    }
  }
  if (one_span || !arrive(counters, spans[0] + spans[1], block.work)) return;
  // Spans of the first segment, then of the second.
  const int32_t begin[2] = {spans[0] > 0 ? chunks.low[0] / kSpanChunks : 0,
                            spans[1] > 0 ? chunks.low[1] / kSpanChunks : 0};
  for (int row = warp; row < tile.rows; row += kWarps) {
    const int64_t jump = p.spans + begin[1] - begin[0] - spans[0];
    RowPart<D> part = join_slots<D>(
        {slots_of(row) + (chunk_slots + begin[0]) * stride, stride, spans[0] + spans[1], spans[0], jump * stride},
        a.head_dim);
    write(row, part);
  }
}

template <int D>
__device__ __forceinline__ void do_item(const Params& p, const Item& item, char* rings, Block<D>& block) {
  using S = Shape<D>;
  const AttentionArgs& a = p.a;
  const Tile& tile = item.tile;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  char* const ring = rings + warp * S::kRingBytes;

  LaneShare share;
  const TileChunks chunks = find_rows<D>(a, tile, share);
  const int segment = item.chunk >= chunks.count(0) && chunks.count(1) > 0 ? 1 : 0;
  const int32_t low = segment == 0 ? chunks.low[0] : chunks.low[1];
  const int32_t chunk = low == kNothing ? 0 : low + item.chunk - (segment == 0 ? 0 : chunks.count(0));
  const KeySegment keys = segment == 0 ? a.segment[0] : a.segment[1];
  const KeyRange range = segment == 0 ? share.range[0] : share.range[1];
  find_pages<D>(keys, a.sequence[tile.token], chunk * S::kChunkPages, tile.rows, range, share);

  // The warp's pages are those whose number in the chunk is warp modulo kWarps; the first to the last of those that are seen.
  int pages = 0, start = 0;
  for (int i = S::kChunkPages / kWarps - 1; i >= 0; --i) {
    if (shuffle(share.seen, i * kWarps + warp) == 0) continue;
    if (pages == 0) pages = i + 1;
    start = i;
  }
  const PageLayout layout = page_layout(keys.pool, keys.layer);
  const uint16_t* const base = static_cast<const uint16_t*>(keys.pool.data) + layout.layer + tile.kv_head * layout.head;
  int slot = 0;
  const auto copy_half = [&](int i, bool values) {
    if (i < pages) {
      const int from = i * kWarps + warp;
      const uint16_t* page = base + int64_t{shuffle(share.page, from)} * layout.page;
      const uint32_t seen = shuffle(share.seen, from);
      if (values) {
        copy_values<D>(ring + slot * S::kHalfBytes, page + layout.value, a.head_dim, seen);
      } else {
        copy_keys<D>(ring + slot * S::kHalfBytes, page, a.head_dim, seen);
      }
    }
    copy_async_commit();
  };
#pragma unroll
  for (; slot < S::kHalves; ++slot) copy_half(start + slot / 2, slot % 2 == 1);
  slot = 0;

  load_queries<D>(a, tile, block.queries);
  LaneRows rows;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int from = lane / 4 + r * 8;
    rows.left[r] = shuffle(range.left, from);
    rows.keys[r] = static_cast<uint32_t>(shuffle(range.right, from) - rows.left[r]);
    rows.query_index[r] = shuffle(share.query_index, from);
    rows.bias[r] = shuffle(share.head, from) * (2 * a.reach + 1) + a.reach;
  }
  if (threadIdx.x == 0) {
    block.tile = tile;
    block.chunks = chunks;
    block.segment = segment;
    block.chunk = chunk;
  }
  const LogitRule rule = {a.softcap != 0 ? a.scale / a.softcap : a.scale * kLog2E, a.softcap * kLog2E,
                          segment == 0 ? a.bias : nullptr, a.reach};
  sync_block();

  Softmax<D> softmax;
  softmax.start();
  for (int i = start; i < pages; ++i) {
    float s[2][4];
    uint32_t weights[4];
    copy_async_wait<S::kHalves - 1>();
    multiply_keys<D>(ring + slot * S::kHalfBytes, block.queries, s);
    copy_half(i + S::kHalves / 2, S::kHalves % 2 == 1);
    slot = slot + 1 < S::kHalves ? slot + 1 : 0;
    softmax.weigh(s, rows, rule, (chunk * S::kChunkPages + i * kWarps + warp) * kPageTokens, weights);
    copy_async_wait<S::kHalves - 1>();
    softmax.add_values(ring + slot * S::kHalfBytes, weights);
    copy_half(i + (S::kHalves + 1) / 2, S::kHalves % 2 == 0);
    slot = slot + 1 < S::kHalves ? slot + 1 : 0;
  }
  sync_warp();
  softmax.store(reinterpret_cast<float*>(ring), block.maxima + warp * kTileRows, block.sums + warp * kTileRows,
                tile.rows);
  sync_block();
  close_item<D>(p, rings, block);
}

template <int D>
__global__ void __launch_bounds__(kThreads, Shape<D>::kResident) kernel(Params p) {
  char* const rings = shared_memory();
  Block<D>& block = *reinterpret_cast<Block<D>*>(rings + kWarps * Shape<D>::kRingBytes);
  list_work<Shape<D>::kChunkKeys>(p, block.work, reinterpret_cast<int32_t*>(rings));
  sync_block();
  const int32_t items = block.work.chunks * p.kv_heads * p.parts;
  // A block's first item is its own number; for every one it asks for the next as soon as it begins.
  for (int32_t number = blockIdx.x; number < items;) {
    int32_t next = 0;
    if (threadIdx.x == 0) {
      next = atomic_add(p.counters, 1);
      if (next == items - 1) *p.counters = 0;  // as many ask as there are items: no one is left who would
      next += gridDim.x;
    }
    do_item<D>(p, item_at(p, block.work, number), rings, block);
    sync_block();
    if (threadIdx.x == 0) block.work.next = next;
    sync_block();
    number = block.work.next;
  }
}

}  // namespace decode

namespace {

using decode::kSpanChunks;

int64_t divided_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

template <int D>
void run(Context* context, const AttentionArgs& a) {
  using Shape = decode::Shape<D>;
  const int32_t kv_heads = a.segment[0].pool.kv_heads, shared = a.heads / kv_heads;
  const int64_t tokens = a.q.rows;
  decode::Params p = {};
  p.a = a;
  p.parts = static_cast<int32_t>(divided_up(shared, decode::kTileRows));
  p.grouped = a.group != nullptr && a.segments == 1 && p.parts == 1;
  p.chunks = static_cast<int32_t>(divided_up(a.max_keys, Shape::kChunkKeys));
  p.spans = static_cast<int32_t>(divided_up(p.chunks, kSpanChunks));
  p.partials = reinterpret_cast<float*>(context->workspace);
  p.counters = context->counters;

  // As many tokens at a time as the workspace and the counters have room for, and where it is less than one, as many heads of one.
  int64_t most_tokens = decode::kMostTokens, most_heads = kv_heads;
  if (a.segments * p.chunks > 1) {
    const int64_t slots = int64_t{a.segments} * (p.chunks + p.spans);
    const int64_t head_bytes = slots * shared * (a.head_dim + decode::kPartialHead) * int64_t{sizeof(float)};
    const int64_t head_counters = p.parts * (int64_t{a.segments} * p.spans + 1);
    const int64_t heads =
        std::min<int64_t>(context->workspace_bytes / head_bytes, (context->counter_count - 1) / head_counters);
    most_tokens = std::min<int64_t>(most_tokens, heads / kv_heads);
    if (most_tokens == 0) most_tokens = 1, most_heads = heads > 1 ? std::min<int64_t>(heads, kv_heads) : 1;
  }
  const int64_t resident =
      std::min<int64_t>(Shape::kResident, std::max<int64_t>(context->shared_bytes / decode::block_bytes<D>(), 1));
  for (int64_t token = 0; token < tokens; token += most_tokens)
    for (int64_t head = 0; head < kv_heads; head += most_heads) {
      p.first_token = static_cast<int32_t>(token);
      p.tokens = static_cast<int32_t>(std::min<int64_t>(most_tokens, tokens - token));
      p.first_head = static_cast<int32_t>(head);
      p.kv_heads = static_cast<int32_t>(std::min<int64_t>(most_heads, kv_heads - head));
      const int64_t items = int64_t{p.tokens} * p.parts * p.kv_heads * std::max<int64_t>(a.segments * p.chunks, 1);
      const int64_t blocks = std::min<int64_t>(items, context->multiprocessors * resident);
      launch(context, "attention of generated tokens", decode::kernel<D>, dim3(static_cast<uint32_t>(blocks)),
             decode::kThreads, decode::block_bytes<D>(), p);
    }
}

}  // namespace

void attention_decode(Context* context, const AttentionArgs& a) {
  if (a.head_dim <= 64) {
    run<64>(context, a);
  } else if (a.head_dim <= 128) {
    run<128>(context, a);
  } else {
    run<256>(context, a);
  }
}

}  // namespace redllm::cuda

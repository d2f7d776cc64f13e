#include "cuda/ops/attention_decode.cuh"

#include <algorithm>

#include "cuda/ops/attention_decode_rows.cuh"
#include "cuda/ops/attention_decode_stream.cuh"

namespace redllm::cuda {

namespace decode {

// Shared memory of a block, behind the rings of its warps, whose places the results of the warps take at the end of an
// item.
template <int D>
struct Block {
  Piece queries[D / 16 * kWarp];
  float maxima[kWarps * kTileRows];
  float sums[kWarps * kTileRows];
  Plan plans[2];
  Work work;
};

constexpr int resident_blocks(int dim) {  // of a multiprocessor
  return dim == 64 ? 4 : dim == 128 ? 3 : 2;
}
template <int D, int kDepth>
constexpr int block_bytes() {
  constexpr int kReserved = 1024, kMultiprocessor = 228 << 10;  // of compute capability 9.0
  constexpr int bytes = kWarps * Ring<D, kDepth>::kBytes + static_cast<int>(sizeof(Block<D>));
  static_assert(resident_blocks(D) * (bytes + kReserved) <= kMultiprocessor);
  return bytes;
}

// Whether this block is the last of `count` to come here; the counter is left at zero then. All threads. What a block
// wrote before is seen by the last one after.
__device__ __forceinline__ bool arrive(int32_t* counter, int32_t count, Work& work) {
  sync_block();
  if (threadIdx.x == 0) {
    fence_device();
    work.last = atomic_add(counter, 1) == count - 1;
    if (work.last) atomic_add(counter, -count);
    fence_device();
  }
  sync_block();
  return work.last;
}

// The warps' results to the rows' output; where the tile has more chunks, to the workspace, joined by the last block of
// a span, and where it has more spans by the last block of the tile.
template <int D>
__device__ __forceinline__ void close_item(const Params& p, const Plan& plan, const char* rings, int ring_bytes,
                                           Block<D>& block) {
  const AttentionArgs& a = p.a;
  const int32_t shared = a.heads / a.segment[0].pool.kv_heads;
  const int32_t span = plan.chunk / kSpanChunks;
  const ChunkRange of_segment = plan.chunks[plan.segment];
  const int32_t first = max(of_segment.low, span * kSpanChunks),
                chunks = min(of_segment.high, (span + 1) * kSpanChunks) - first;
  const int32_t first_spans = plan.chunks[0].spans(), spans = first_spans + plan.chunks[1].spans();
  const int last_level = plan.chunks[0].count() + plan.chunks[1].count() <= 1 ? 0 : spans == 1 ? 1 : 2;

  const int64_t stride = a.head_dim + kPartialHead;
  const int32_t span_slots = a.segments * p.chunks, slots = span_slots + a.segments * p.spans;
  int32_t* const of_tile =
      p.counters + 1 + (int64_t{plan.tile} * p.kv_heads + plan.kv_head - p.first_head) * (a.segments * p.spans + 1);
#pragma unroll 1
  for (int level = 0;; ++level) {
    const int32_t to = level == 0 ? plan.segment * p.chunks + plan.chunk : span_slots + plan.segment * p.spans + span;
    // What is joined here: the chunks of a span, or the spans of both segments.
    int32_t from = plan.segment * p.chunks + first, count = chunks, leap = chunks, jump = 0;
    if (level == 2) {
      from = span_slots + plan.chunks[0].first_span();
      count = spans;
      leap = first_spans;
      jump = span_slots + p.spans + plan.chunks[1].first_span() - from - leap;
    }
#pragma unroll 1
    for (int row = threadIdx.x / kWarp; row < plan.rows; row += kWarps) {
      const int64_t number =
          int64_t{plan.token[row] - p.first_token} * p.kv_heads * shared + plan.head[row] - p.first_head * shared;
      float* const of_row = p.partials + number * slots * stride;
      RowPart<D> part;
      if (level == 0) {
        part = join_warps<D>(rings, ring_bytes, block.maxima, block.sums, row);
      } else {
        part = join_slots<D>({of_row + from * stride, stride, count, leap, jump * stride}, a.head_dim);
      }
      if (level == last_level) {
        write_row(a, part, plan.token[row], plan.head[row]);
      } else {
        store_part(part, of_row + to * stride, a.head_dim);
      }
    }
    if (level == last_level) return;
    int32_t* const counter = level == 0 ? of_tile + 1 + plan.segment * p.spans + span : of_tile;
    if (!arrive(counter, level == 0 ? chunks : spans, block.work)) return;
  }
}

template <int D, int kDepth>
__global__ void __launch_bounds__(kThreads, resident_blocks(D)) kernel(Params p) {
  await_earlier_launches();
  constexpr int kRingBytes = Ring<D, kDepth>::kBytes;
  const AttentionArgs& a = p.a;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  char* const rings = shared_memory();
  Block<D>& block = *reinterpret_cast<Block<D>*>(rings + kWarps * kRingBytes);
  list_work<D>(p, block.work, reinterpret_cast<int32_t*>(rings));
  Stream<D, kDepth> stream = {};
  stream.ring = reinterpret_cast<Piece*>(rings + warp * kRingBytes);
  // Of the item that is to be prepared, in the first lane: a block's own number, then what it has drawn a turn before.
  int32_t number = blockIdx.x;
  // The first turn does nothing but prepare the second.
  for (int turn = 0; turn == 0 || !block.plans[turn % 2].none; ++turn) {
    const Plan& plan = block.plans[turn % 2];
    if (turn > 0) {
      stream.begin(a, plan);
      load_queries<D>(a, plan, block.queries);
    }
    sync_block();
    if (warp == 0) {
      const int32_t items = block.work.chunks * p.kv_heads * p.parts, at_hand = shuffle(number, 0);
      if (lane == 0) {
        // With the last number all are drawn, as many as there are items: no block asks again.
        if (turn > 0 && number == items - 1 + static_cast<int32_t>(gridDim.x)) atomic_add(p.counters, -items);
        if (at_hand < items) number = atomic_add(p.counters, 1) + static_cast<int32_t>(gridDim.x);
      }
      prepare<D>(p, block.work, at_hand, block.plans[(turn + 1) % 2]);
    }
    if (turn > 0) {
      Softmax<D> softmax;
      stream.run(a, plan, block.queries, softmax);
      sync_warp();
      softmax.store(reinterpret_cast<float4*>(stream.ring), block.maxima + warp * kTileRows,
                    block.sums + warp * kTileRows, plan.rows);
      sync_block();
      close_item<D>(p, plan, rings, kRingBytes, block);
    }
    sync_block();
  }
}

}  // namespace decode

namespace {

template <int D, int kDepth>
void run(Context* context, const AttentionArgs& a) {
  const int32_t kv_heads = a.segment[0].pool.kv_heads, shared = a.heads / kv_heads;
  const int64_t tokens = a.q.rows;
  decode::Params p = {};
  p.a = a;
  p.parts = static_cast<int32_t>(divided_up(shared, decode::kTileRows));
  p.grouped = a.group != nullptr && a.segments == 1 && p.parts == 1;
  p.chunks = static_cast<int32_t>(divided_up(a.max_keys, decode::chunk_keys(D)));
  p.spans = static_cast<int32_t>(divided_up(p.chunks, decode::kSpanChunks));
  p.partials = reinterpret_cast<float*>(context->workspace);
  p.counters = context->counters;

  // As many tokens at a time as the workspace and the counters have room for, and where it is less than one, as many
  // heads of one.
  int64_t most_tokens = decode::kMostTokens, most_heads = kv_heads;
  if (a.segments * p.chunks > 1) {
    const int64_t slots = int64_t{a.segments} * (p.chunks + p.spans);
    const int64_t head_bytes = slots * shared * (a.head_dim + decode::kPartialHead) * int64_t{sizeof(float)};
    const int64_t head_counters = p.parts * (int64_t{a.segments} * p.spans + 1);
    const int64_t heads =
        std::min<int64_t>(context->workspace_bytes / head_bytes, (context->counter_count - 1) / head_counters);
    most_tokens = std::min<int64_t>(most_tokens, heads / kv_heads);
    if (most_tokens == 0) most_tokens = 1, most_heads = std::clamp<int64_t>(heads, 1, kv_heads);
  }
  constexpr int kBytes = decode::block_bytes<D, kDepth>();
  const int64_t resident = std::min(decode::resident_blocks(D), std::max(context->shared_bytes / kBytes, 1));
  for (int64_t token = 0; token < tokens; token += most_tokens)
    for (int64_t head = 0; head < kv_heads; head += most_heads) {
      p.first_token = static_cast<int32_t>(token);
      p.tokens = static_cast<int32_t>(std::min(most_tokens, tokens - token));
      p.first_head = static_cast<int32_t>(head);
      p.kv_heads = static_cast<int32_t>(std::min(most_heads, kv_heads - head));
      const int64_t items = int64_t{p.tokens} * p.parts * p.kv_heads * std::max(a.segments * p.chunks, 1);
      const int64_t blocks = std::min(items, context->multiprocessors * resident);
      launch(context, "attention of generated tokens", decode::kernel<D, kDepth>, dim3(static_cast<uint32_t>(blocks)),
             decode::kThreads, kBytes, p);
    }
}

}  // namespace

void attention_decode(Context* context, const AttentionArgs& a) {
  if (a.head_dim <= 64) {
    run<64, 6>(context, a);
  } else if (a.head_dim <= 128) {
    run<128, 4>(context, a);
  } else if (context->shared_bytes >= decode::block_bytes<256, 3>()) {
    run<256, 3>(context, a);
  } else {
    run<256, 2>(context, a);
  }
}

}  // namespace redllm::cuda

#include "cuda/ops/attention_decode.cuh"

#include <algorithm>

#include "cuda/ops/attention_decode_rows.cuh"
#include "cuda/ops/attention_decode_stream.cuh"

namespace redllm::cuda {

namespace decode {

// Shared memory of a block: the warps' rings, whose places the warps' results take at the end of an item, and
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
template <int D>
constexpr int block_bytes() {
  return kWarps * Ring<D>::kBytes + static_cast<int>(sizeof(Block<D>));
}

// Whether this block is the last of `count` to come here; the counter is left at zero then. All threads. What a block wrote before
// is seen by the last one after.
__device__ __forceinline__ bool arrive(int32_t* counter, int32_t count, Work& work) {
  sync_block();
  if (threadIdx.x == 0) {
    fence_device();
    work.last = atomic_add(counter, 1) == count - 1;
    if (work.last) *counter = 0;
    fence_device();
  }
  sync_block();
  return work.last;
}

// The warps' results to the rows' output; or to the workspace, and by the last block of a span, or of the tile, to the output.
template <int D>
__device__ __forceinline__ void close_item(const Params& p, const Plan& plan, const char* rings, Block<D>& block) {
  const AttentionArgs& a = p.a;
  const int warp = threadIdx.x / kWarp;
  const int32_t shared = a.heads / a.segment[0].pool.kv_heads;
  const int32_t span = plan.chunk / kSpanChunks;
  const ChunkRange all = plan.chunks[plan.segment];
  const int32_t first = most(all.low, span * kSpanChunks), end = least(all.high, (span + 1) * kSpanChunks);
  const int32_t spans[2] = {plan.chunks[0].spans(), plan.chunks[1].spans()};
  const bool direct = plan.chunks[0].count() + plan.chunks[1].count() <= 1, one_span = spans[0] + spans[1] <= 1;

  const int64_t stride = a.head_dim + kPartialHead;
  const int32_t chunk_slots = a.segments * p.chunks, slots = chunk_slots + a.segments * p.spans;
  const auto slots_of = [&](int row) {
    const int64_t number =
        int64_t{plan.token[row] - p.first_token} * p.kv_heads * shared + plan.head[row] - p.first_head * shared;
    return p.partials + number * slots * stride;
  };

  for (int row = warp; row < plan.rows; row += kWarps) {
    RowPart<D> part = join_warps<D>(rings, Ring<D>::kBytes, block.maxima, block.sums, row);
    if (direct) {
      write_row(a, part, plan.token[row], plan.head[row]);
    } else {
      store_part(part, slots_of(row) + (plan.segment * p.chunks + plan.chunk) * stride, a.head_dim);
    }
  }
  if (direct) return;
  int32_t* const counters =
      p.counters + 1 + (int64_t{plan.tile} * p.kv_heads + plan.kv_head - p.first_head) * (a.segments * p.spans + 1);
  if (!arrive(counters + 1 + plan.segment * p.spans + span, end - first, block.work)) return;
  for (int row = warp; row < plan.rows; row += kWarps) {
    float* const of_row = slots_of(row);
    const int32_t count = end - first;
    RowPart<D> part =
        join_slots<D>({of_row + (plan.segment * p.chunks + first) * stride, stride, count, count, 0}, a.head_dim);
    if (one_span) {
      write_row(a, part, plan.token[row], plan.head[row]);
    } else {
      store_part(part, of_row + (chunk_slots + plan.segment * p.spans + span) * stride, a.head_dim);
    }
  }
  if (one_span || !arrive(counters, spans[0] + spans[1], block.work)) return;
  const int32_t begin = chunk_slots + plan.chunks[0].first_span();
  const int32_t second = chunk_slots + p.spans + plan.chunks[1].first_span();
  for (int row = warp; row < plan.rows; row += kWarps) {
    RowPart<D> part = join_slots<D>(
        {slots_of(row) + begin * stride, stride, spans[0] + spans[1], spans[0], (second - begin - spans[0]) * stride},
        a.head_dim);
    write_row(a, part, plan.token[row], plan.head[row]);
  }
}

template <int D>
__global__ void __launch_bounds__(kThreads, resident_blocks(D)) kernel(Params p) {
  using R = Ring<D>;
  const AttentionArgs& a = p.a;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  char* const rings = shared_memory();
  Piece* const ring = reinterpret_cast<Piece*>(rings + warp * R::kBytes);
  Block<D>& block = *reinterpret_cast<Block<D>*>(rings + kWarps * R::kBytes);
  list_work<D>(p, block.work, reinterpret_cast<int32_t*>(rings));
  sync_block();
  // A block's first item is its own number.
  if (warp == 0) prepare<D>(p, block.work, blockIdx.x, block.plans[0]);
  sync_block();
  for (int turn = 0; !block.plans[turn].none; turn ^= 1) {
    const Plan& plan = block.plans[turn];
    const int segment = plan.segment, end = plan.end[warp];
    const PagePool& pool = segment == 0 ? a.segment[0].pool : a.segment[1].pool;
    const PageLayout layout = page_layout(pool, segment == 0 ? a.segment[0].layer : a.segment[1].layer);
    const uint16_t* const base = static_cast<const uint16_t*>(pool.data) + layout.layer + plan.kv_head * layout.head;
    int slot = 0;  // of the ring
    // The K or V of the warp's page i on its way to `slot`.
    const auto copy_half = [&](int i, bool values) {
      if (i < end) {
        const PlannedPage planned = plan.pages[i * kWarps + warp];
        const uint16_t* page = base + planned.page * layout.page;
        Piece* half = ring + slot * (R::kHalfBytes / 16);
        if (values) {
          copy_values<D>(half, page + layout.value, a.head_dim, planned.seen);
        } else {
          copy_keys<D>(half, page, a.head_dim, planned.seen);
        }
      }
      copy_async_commit();
    };
    int i = plan.first[warp];
#pragma unroll
    for (; slot < R::kHalves; ++slot) copy_half(i + slot / 2, slot % 2 == 1);
    slot = 0;

    load_queries<D>(a, plan, block.queries);
    if (warp == 0) {
      int32_t number = 0;
      if (lane == 0) {
        // As many ask as there are items: where the last number is given, no one is left who would ask.
        number = atomic_add(p.counters, 1);
        if (number == block.work.chunks * p.kv_heads * p.parts - 1) *p.counters = 0;
        number += gridDim.x;
      }
      prepare<D>(p, block.work, shuffle(number, 0), block.plans[turn ^ 1]);
    }
    LaneRows rows;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int row = lane / 4 + r * 8;
      rows.left[r] = plan.left[row];
      rows.keys[r] = plan.keys[row];
      rows.query_index[r] = plan.query_index[row];
      rows.bias[r] = plan.head[row] * (2 * a.reach + 1) + a.reach;
    }
    const LogitRule rule = logit_rule(a, segment);
    sync_block();

    Softmax<D> softmax;
    softmax.start();
    for (; i < end; ++i) {
      float s[2][4];
      uint32_t weights[4];
      copy_async_wait<R::kHalves - 1>();
      multiply_keys<D>(ring + slot * (R::kHalfBytes / 16), block.queries, s);
      copy_half(i + R::kHalves / 2, R::kHalves % 2 == 1);
      slot = slot + 1 < R::kHalves ? slot + 1 : 0;
      softmax.weigh(a, rule, rows, (plan.chunk * chunk_pages(D) + i * kWarps + warp) * kPageTokens, s, weights);
      copy_async_wait<R::kHalves - 1>();
      softmax.add_values(ring + slot * (R::kHalfBytes / 16), weights);
      copy_half(i + (R::kHalves + 1) / 2, R::kHalves % 2 == 0);
      slot = slot + 1 < R::kHalves ? slot + 1 : 0;
    }
    sync_warp();
    softmax.store(reinterpret_cast<float4*>(ring), block.maxima + warp * kTileRows, block.sums + warp * kTileRows,
                  plan.rows);
    sync_block();
    close_item<D>(p, plan, rings, block);
    sync_block();
  }
}

}  // namespace decode

namespace {

int64_t divided_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

template <int D>
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

  // As many tokens at a time as the workspace and the counters have room for, and where it is less than one, as many heads of
  // one.
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
  const int64_t resident =
      std::min(decode::resident_blocks(D), std::max(context->shared_bytes / decode::block_bytes<D>(), 1));
  for (int64_t token = 0; token < tokens; token += most_tokens)
    for (int64_t head = 0; head < kv_heads; head += most_heads) {
      p.first_token = static_cast<int32_t>(token);
      p.tokens = static_cast<int32_t>(std::min(most_tokens, tokens - token));
      p.first_head = static_cast<int32_t>(head);
      p.kv_heads = static_cast<int32_t>(std::min(most_heads, kv_heads - head));
      const int64_t items = int64_t{p.tokens} * p.parts * p.kv_heads * std::max(a.segments * p.chunks, 1);
      const int64_t blocks = std::min(items, context->multiprocessors * resident);
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

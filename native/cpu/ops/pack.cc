// Weights into the packed layout (see packed_layout.h).
#include "cpu/bf16.h"
#include "cpu/ops/ops_internal.h"
#include "cpu/packed_layout.h"

namespace REDLLM_ISA_NAMESPACE {

namespace {

// Rows and k of a block: 32 columns by 64 steps of the panel stay in the first-level cache while rows are scattered over them.
constexpr int64_t kBlockRows = 32;
constexpr int64_t kBlockK = 64;

float read_f32(const void* from, DType type, int64_t index) {
  if (type == DType::f32) return static_cast<const float*>(from)[index];
  const uint16_t half = static_cast<const uint16_t*>(from)[index];
  return type == DType::bf16 ? float_from_bf16(half) : float_from_f16(half);
}

// Elements [k0, k1) of one logical row. `to` is the row's first element in its panel; in bf16, k lies at [k / 2][column][k
// % 2].
template <DType kFrom>
void pack_row(const void* from, int64_t row_start, int64_t k0, int64_t k1, DType type, char* to) {
  if (type == DType::f32) {
    float* out = reinterpret_cast<float*>(to);
    for (int64_t k = k0; k < k1; ++k) out[k * kPanelColumns] = read_f32(from, kFrom, row_start + k);
    return;
  }
  uint16_t* out = reinterpret_cast<uint16_t*>(to);
  for (int64_t k = k0; k < k1; ++k) {
    const uint16_t value = kFrom == DType::bf16 ? static_cast<const uint16_t*>(from)[row_start + k]
                                                : bf16_from_float(read_f32(from, kFrom, row_start + k));
    out[k / 2 * 2 * kPanelColumns + k % 2] = value;
  }
}

template <DType kFrom>
void pack_rows(const PackArgs& args, int64_t begin, int64_t end) {
  const Weight& to = args.to;
  const int64_t panel_bytes = packed_steps(to.type, to.k) * kStepBytes;
  for (int64_t k0 = 0; k0 < to.k; k0 += kBlockK) {
    const int64_t k1 = k0 + kBlockK < to.k ? k0 + kBlockK : to.k;
    for (int64_t i = begin; i < end; ++i) {
      const PackedPlace place = packed_place(args.first + static_cast<int32_t>(i), to.n, to.gated);
      char* start = static_cast<char*>(to.data) + place.panel * panel_bytes + place.column * 4;
      pack_row<kFrom>(args.from, i * to.k, k0, k1, to.type, start);
    }
  }
}

}  // namespace

void pack(Context* context, const PackArgs& args) {
  const int64_t blocks = (args.count + kBlockRows - 1) / kBlockRows;
  parallel_for(context, blocks, [&](int64_t block, int32_t) {
    const int64_t begin = block * kBlockRows;
    const int64_t end = begin + kBlockRows < args.count ? begin + kBlockRows : args.count;
    switch (args.from_type) {
      case DType::f32:
        return pack_rows<DType::f32>(args, begin, end);
      case DType::bf16:
        return pack_rows<DType::bf16>(args, begin, end);
      default:
        return pack_rows<DType::f16>(args, begin, end);
    }
  });
}

}  // namespace REDLLM_ISA_NAMESPACE

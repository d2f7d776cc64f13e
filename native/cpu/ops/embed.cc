// Rows of the embedding table, read back out of the packed layout, so that a tied output head shares its memory.
#include "cpu/bf16.h"
#include "cpu/ops/ops_internal.h"
#include "cpu/packed_layout.h"

namespace REDLLM_ISA_NAMESPACE {

namespace {

constexpr int64_t kTokensPerTask = 8;

void embed_token(const EmbedArgs& args, int64_t index) {
  const Weight& table = args.table;
  const int64_t width = table.k;
  const int32_t given = args.tokens[index], token = given < 0 ? args.chosen[~given] : given;
  const PackedPlace place = packed_place(token, table.n, table.gated);
  const char* row = static_cast<const char*>(table.data) +
                    place.panel * packed_steps(table.type, table.k) * kStepBytes + place.column * 4;
  float* out = args.out.as<float>() + index * width;
  if (table.type == DType::f32) {
    const float* from = reinterpret_cast<const float*>(row);
    for (int64_t k = 0; k < width; ++k) out[k] = from[k * kPanelColumns] * args.scale;
  } else {
    const uint16_t* from = reinterpret_cast<const uint16_t*>(row);
    for (int64_t k = 0; k < width; ++k) out[k] = float_from_bf16(from[k / 2 * 2 * kPanelColumns + k % 2]) * args.scale;
  }
  if (args.positions == nullptr) return;
  const float* position = args.positions + static_cast<int64_t>(args.position_index[index]) * width;
  for (int64_t k = 0; k < width; ++k) out[k] += position[k];
}

}  // namespace

void embed(Context* context, const EmbedArgs& args) {
  const int64_t tasks = (args.count + kTokensPerTask - 1) / kTokensPerTask;
  parallel_for(context, tasks, [&](int64_t task, int32_t) {
    const int64_t begin = task * kTokensPerTask;
    const int64_t end = begin + kTokensPerTask < args.count ? begin + kTokensPerTask : args.count;
    for (int64_t i = begin; i < end; ++i) embed_token(args, i);
  });
}

}  // namespace REDLLM_ISA_NAMESPACE

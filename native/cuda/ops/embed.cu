// Rows of the embedding table, which may be the tied output head as well.
#include "cuda/ops/four.cuh"

namespace redllm::cuda {

namespace {

constexpr int kThreads = 128;

// One block a token. Rows of the table are padded, so that four elements can always be read at once.
__global__ void __launch_bounds__(kThreads) embed_kernel(EmbedArgs args) {
  await_earlier_launches();
  const int64_t index = blockIdx.x;
  const int32_t given = args.tokens[index];
  const int64_t token = given < 0 ? args.chosen[~given] : given;
  const int64_t width = args.table.k, at = token * padded_k(width);  // a table is never gated
  float* out = static_cast<float*>(args.out.data) + index * width;
  const float* position =
      args.positions == nullptr ? nullptr : args.positions + static_cast<int64_t>(args.position_index[index]) * width;
  for (int64_t k = static_cast<int64_t>(threadIdx.x) * 4; k < width; k += kThreads * 4) {
    float value[4];
    if (args.table.type == DType::f32) {
      load_four(value, static_cast<const float*>(args.table.data) + at + k);
    } else {
      load_four(value, static_cast<const uint16_t*>(args.table.data) + at + k);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (k + i >= width) break;
      value[i] = __fmul_rn(value[i], args.scale);
      if (position != nullptr) value[i] = __fadd_rn(value[i], position[k + i]);
    }
    if (width % 4 == 0) {
      store_four(out + k, value);
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i)
        if (k + i < width) out[k + i] = value[i];
    }
  }
}

}  // namespace

void embed(Context* context, const EmbedArgs& args) {
  launch(context, "embedding", embed_kernel, dim3(static_cast<unsigned>(args.count)), kThreads, 0, args);
}

}  // namespace redllm::cuda

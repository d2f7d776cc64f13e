// Rows picked out of a matrix, or converted to another type.
#include <string.h>

#include "cpu/bf16.h"
#include "cpu/ops/ops_internal.h"

namespace REDLLM_ISA_NAMESPACE {

void gather(Context* context, const GatherArgs& args) {
  const int64_t width = args.from.cols;
  cpu::parallel_for(context, args.out.rows, [&](int64_t i, int32_t) {
    const float* from = args.from.as<float>() + (args.row ? args.row[i] : i) * width;
    if (args.out.type == DType::f32) {
      memcpy(args.out.as<float>() + i * width, from, static_cast<size_t>(width) * sizeof(float));
    } else {
      uint16_t* to = args.out.as<uint16_t>() + i * width;
      for (int64_t j = 0; j < width; ++j) to[j] = cpu::bf16_from_float(from[j]);
    }
  });
}

}  // namespace REDLLM_ISA_NAMESPACE

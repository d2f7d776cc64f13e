// The ops of the CUDA backend, one file each (some kernels in headers beside it).
#pragma once

#include "cuda/context.cuh"
#include "cuda/layout.cuh"
#include "cuda/ptx.cuh"
#include "ops.h"

namespace redllm::cuda {

constexpr int kWarp = 32;
constexpr float kLog2E = 1.4426950408889634f;

uint64_t weight_bytes(DType type, int32_t n, int32_t k, bool gated);
uint64_t page_bytes(DType type, int32_t layers, int32_t kv_heads, int32_t head_dim);
void pack(Context*, const PackArgs&);
void embed(Context*, const EmbedArgs&);
void gather(Context*, const GatherArgs&);
void norm(Context*, const NormArgs&);
void matmul(Context*, const MatmulArgs&);
void append(Context*, const AppendArgs&);
void attention(Context*, const AttentionArgs&);
void attention_mass(Context*, const AttentionMassArgs&);
void copy_pages(Context*, const CopyPagesArgs&);
void set_history(Context*, const HistoryArgs&);
void sample(Context*, const SampleArgs&);

}  // namespace redllm::cuda

// Declarations that the files of native/cpu/ops share: the ops of the instruction set being compiled, and the layouts of
// packed weights and pages, which are the same for all of them.
#pragma once

#include "cpu/context.h"
#include "cpu/isa.h"
#include "ops.h"

namespace redllm::cpu {

// Instruction-set independent parts, in native/cpu/memory.cc, packed_layout.cc and page_layout.cc.
void* allocate(Context*, uint64_t bytes);
void release(Context*, void* data, uint64_t bytes);
void memory(Context*, uint64_t* free, uint64_t* total);
void upload(Context*, const Piece* pieces, int32_t count);
uint64_t download(Context*, const Piece* pieces, int32_t count);
void wait(Context*, uint64_t ticket);
bool begin_run(Context*, uint64_t owner, uint64_t key);
bool end_run(Context*);
void drop_runs(Context*, uint64_t owner);
const char* error(Context*);
uint64_t weight_bytes(DType type, int32_t n, int32_t k, bool gated);
uint64_t page_bytes(DType type, int32_t layers, int32_t kv_heads, int32_t head_dim);

}  // namespace redllm::cpu

#ifdef REDLLM_ISA
namespace REDLLM_ISA_NAMESPACE {

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

}  // namespace REDLLM_ISA_NAMESPACE
#endif

// The ops of one instruction set, as a table.
#include "cpu/ops/ops_internal.h"

namespace REDLLM_ISA_NAMESPACE {

#define REDLLM_STRING_(x) #x
#define REDLLM_STRING(x) REDLLM_STRING_(x)

extern const Ops table;
const Ops table = {
    .abi = kOpsAbi,
    .name = "cpu " REDLLM_STRING(REDLLM_ISA),
    .host_memory = true,
    .allocate = cpu::allocate,
    .release = cpu::release,
    .memory = cpu::memory,
    .upload = cpu::upload,
    .download = cpu::download,
    .wait = cpu::wait,
    .begin_run = cpu::begin_run,
    .end_run = cpu::end_run,
    .drop_runs = cpu::drop_runs,
    .error = cpu::error,
    .weight_bytes = cpu::weight_bytes,
    .pack = pack,
    .page_bytes = cpu::page_bytes,
    .embed = embed,
    .gather = gather,
    .norm = norm,
    .matmul = matmul,
    .append = append,
    .attention = attention,
    .attention_mass = attention_mass,
    .copy_pages = copy_pages,
    .set_history = set_history,
    .sample = sample,
};

}  // namespace REDLLM_ISA_NAMESPACE

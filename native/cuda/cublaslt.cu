#include "cuda/cublaslt.h"

#include <dlfcn.h>

#include <cstdio>
#include <type_traits>

#if !defined(REDLLM_EMU) && __has_include(<cublasLt.h>)
#include <cublasLt.h>
namespace redllm::cuda::cublaslt {
static_assert(int{kSuccess} == CUBLAS_STATUS_SUCCESS && sizeof(Status) == sizeof(cublasStatus_t));
static_assert(int{kCompute32F} == CUBLAS_COMPUTE_32F && int{kReal32F} == CUDA_R_32F && int{kRealBF16} == CUDA_R_16BF);
static_assert(int{kTransposed} == CUBLAS_OP_T && uint32_t{kReductionNone} == CUBLASLT_REDUCTION_SCHEME_NONE);
static_assert(int{kTransposeA} == CUBLASLT_MATMUL_DESC_TRANSA);
static_assert(int{kLayoutColumns} == CUBLASLT_MATRIX_LAYOUT_COLS);
static_assert(int{kMostWorkspace} == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
static_assert(int{kReductions} == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK);
static_assert(int{kAlignmentA} == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES);
static_assert(int{kAlignmentB} == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES);
static_assert(int{kAlignmentC} == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES);
static_assert(int{kAlignmentD} == CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES);
static_assert(int{kSplits} == CUBLASLT_ALGO_CONFIG_SPLITK_NUM);
static_assert(int{kReduction} == CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME);
static_assert(sizeof(Algorithm) == sizeof(cublasLtMatmulAlgo_t));
static_assert(sizeof(Found) == sizeof(cublasLtMatmulHeuristicResult_t));
static_assert(offsetof(Found, workspace) == offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize));
static_assert(offsetof(Found, state) == offsetof(cublasLtMatmulHeuristicResult_t, state));
}  // namespace redllm::cuda::cublaslt
#endif

namespace redllm::cuda::cublaslt {

bool open(Library* library, const char* path, char* why, size_t room) {
  void* file = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (file == nullptr) {
    const char* reason = dlerror();
    std::snprintf(why, room, "%s", reason != nullptr ? reason : path);
    return false;
  }
  const auto get = [&](auto*& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(file, name));
    if (function == nullptr) std::snprintf(why, room, "%s has no %s", path, name);
    return function != nullptr;
  };
  return get(library->create, "cublasLtCreate") && get(library->destroy, "cublasLtDestroy") &&
         get(library->version, "cublasLtGetVersion") && get(library->create_operation, "cublasLtMatmulDescCreate") &&
         get(library->destroy_operation, "cublasLtMatmulDescDestroy") &&
         get(library->set_operation, "cublasLtMatmulDescSetAttribute") &&
         get(library->create_layout, "cublasLtMatrixLayoutCreate") &&
         get(library->destroy_layout, "cublasLtMatrixLayoutDestroy") &&
         get(library->set_layout, "cublasLtMatrixLayoutSetAttribute") &&
         get(library->create_preference, "cublasLtMatmulPreferenceCreate") &&
         get(library->destroy_preference, "cublasLtMatmulPreferenceDestroy") &&
         get(library->set_preference, "cublasLtMatmulPreferenceSetAttribute") &&
         get(library->find, "cublasLtMatmulAlgoGetHeuristic") &&
         get(library->configuration, "cublasLtMatmulAlgoConfigGetAttribute") &&
         get(library->multiply, "cublasLtMatmul");
}

}  // namespace redllm::cuda::cublaslt

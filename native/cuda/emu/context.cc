// succeeded() for programs that test kernels without the backend; where backend.cu is linked, its own stands.
#include "cuda/context.cuh"

#include <cstdio>

namespace redllm::cuda {

__attribute__((weak)) bool succeeded(Context* context, cudaError_t code, const char* what) {
  if (code == cudaSuccess) return true;
  if (context->failure[0] == 0)
    std::snprintf(context->failure, sizeof context->failure, "%s: %s", what, cudaGetErrorString(code));
  return false;
}

}  // namespace redllm::cuda

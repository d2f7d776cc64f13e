// Products of prompts by cuBLASLt, where it can be opened: with one algorithm for each shape of weights, of which a trial showed that a
// row's result does not depend on the rows beside it.
#pragma once

#include <cstdint>

#include "cuda/context.cuh"

namespace redllm::cuda {

struct Product;

// Chooses the algorithm for weights of this shape; may allocate and wait, so it is called while a model is loaded.
void prepare_product(Context*, const Weight&);

// False where no library serves this shape: nothing has been launched then.
bool library_product(Context*, const Product&, const Weight&, char* workspace, int64_t workspace_bytes);

}  // namespace redllm::cuda

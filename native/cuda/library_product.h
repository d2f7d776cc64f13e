// Products of prompts by cuBLASLt, where it can be opened: by algorithms of which a trial has shown, for each shape of weights, that a
// row's result does not depend on the rows beside it. Where there is none, our own kernel serves that shape.
//
// REDLLM_CUBLASLT: a path to the library, or "off".
#pragma once

#include <cstdint>

#include "cuda/context.cuh"

namespace redllm::cuda {

struct Product;

// Chooses the algorithms for weights of this shape, using what they hold; waits for the device, so it is called while a model is loaded.
void prepare_product(Context*, const Weight&);

// False where no library serves: nothing has been launched then. `workspace` is a part of the context's.
bool library_product(Context*, const Product&, char* workspace, int64_t workspace_bytes);

// One sentence: which library serves prompts, or why none does. Opens it where that has not been tried.
const char* library_product_note(Context*);

void close_library_product(Context*);

}  // namespace redllm::cuda

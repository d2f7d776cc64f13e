// `new` from memory that a device reads as well.
#pragma once

#include <cstdint>

namespace redllm::test {

// From here on every `new` of the program takes its memory from `allocate`; what was allocated before stays where it is.
void use_shared_memory(void* (*allocate)(uint64_t bytes));

}  // namespace redllm::test

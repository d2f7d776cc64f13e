// The parts of the backend that are not ops: devices, memory, copies and recorded runs, as native/ops.h and
// native/device_library.h ask for them.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/context.cuh"
#include "ops.h"

namespace redllm::cuda {

// Makes the context's device this thread's own: what is called first in a step or a load does it.
bool make_current(Context*);

// device.cu
int32_t count_devices(char* why, uint64_t room);
bool describe_device(int32_t index, char* text, uint64_t room);
Context* open_device(int32_t index, char* why, uint64_t room);
void close_device(Context*);

// memory.cu
void* allocate(Context*, uint64_t bytes);
void release(Context*, void* data, uint64_t bytes);
void memory(Context*, uint64_t* free, uint64_t* total);
void* allocate_shared(uint64_t bytes);
void release_shared(void* data);

// copies.cu
void upload(Context*, const Piece* pieces, int32_t count);
uint64_t download(Context*, const Piece* pieces, int32_t count);
void wait(Context*, uint64_t ticket);

// runs.cu
bool begin_run(Context*, uint64_t owner, uint64_t key);
bool end_run(Context*);
void drop_runs(Context*, uint64_t owner);

}  // namespace redllm::cuda

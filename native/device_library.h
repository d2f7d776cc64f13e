// A backend in a shared library of its own (CUDA): what the library exports, and how the core opens it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "backend_interface.h"

namespace redllm {

// The one entry that such a library exports: extern "C" const DeviceLibraryEntry* redllm_device_library(). Plain data and function
// pointers only. `why` receives a sentence of at most `room` bytes where a call fails.
struct DeviceLibraryEntry {
  uint32_t abi;       // kOpsAbi of the build
  uint32_t size;      // sizeof(DeviceLibraryEntry)
  const char* build;  // what it was made for, e.g. "CUDA 13.0, sm_80 sm_90a"
  const Ops* ops;
  // Devices that can compute; negative where none can be asked for.
  int32_t (*count)(char* why, uint64_t room);
  // What device `index` is, in one line: name, memory, compute capability, driver.
  bool (*describe)(int32_t index, char* text, uint64_t room);
  // Null where it cannot be opened. A small kernel has run when it returns.
  Context* (*open)(int32_t index, char* why, uint64_t room);
  void (*close)(Context*);
  // For tests: memory that both sides may use (managed), and a wait for all that was launched. False where something failed.
  void* (*allocate_shared)(uint64_t bytes);
  void (*release_shared)(void* data);
  bool (*synchronize)(Context*);
};

}  // namespace redllm

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
  // Backend::note()
  const char* (*note)(Context*);
  // For tests: memory of the host that the device reaches too, and a wait for all that was launched. False where something failed.
  void* (*allocate_shared)(uint64_t bytes);
  void (*release_shared)(void* data);
  bool (*synchronize)(Context*);
};

// Such a library, opened. It is never closed: what a driver started cannot be stopped.
class DeviceLibrary {
 public:
  // path: absolute. Where the library cannot be used, why() says so and nothing else may be called but count().
  explicit DeviceLibrary(const std::string& path);

  // Empty, or a sentence.
  const std::string& why() const { return why_; }
  const char* build() const { return entry_->build; }

  // Devices that it finds; 0 where there is none, and then why() says why.
  int32_t count();
  // Whether device `index`, below count(), can compute, and what it is or why not.
  bool describe(int32_t index, std::string* text) const;
  // Throws std::runtime_error with the reason where the device cannot be opened.
  std::shared_ptr<Backend> open(int32_t index);

 private:
  const DeviceLibraryEntry* entry_ = nullptr;
  std::string why_;
};

}  // namespace redllm

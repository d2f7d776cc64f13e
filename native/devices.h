// Which devices there are, and a backend on one of them. Their names: "cpu", "cuda:0", "cuda:1", ...
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend_interface.h"

namespace redllm {

// One line of a list: every instruction set of the CPU, then every CUDA device, or why there is none.
struct DeviceReport {
  std::string name;
  bool available;
  std::string detail;
};

// library: the path of the CUDA library; empty: beside the file that this code is in.
std::vector<DeviceReport> list_devices(const std::string& library);

struct DeviceOptions {
  std::string device = "cpu";
  std::string isa = "auto";  // of the CPU
  int32_t threads = 0;       // of the CPU; 0: one for each processor
  std::string library;       // as for list_devices
};

// Throws std::runtime_error with the reason where the device cannot be opened.
std::shared_ptr<Backend> open_device(const DeviceOptions& options);

}  // namespace redllm

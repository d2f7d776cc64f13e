#include "devices.h"

#include <dlfcn.h>

#include <string_view>

#include "cpu/backend.h"
#include "cpu/isa.h"
#include "device_library.h"

namespace redllm {
namespace {

constexpr std::string_view kCudaPrefix = "cuda:";

std::string library_path(const std::string& given) {
  if (!given.empty()) return given;
  Dl_info own;
  if (dladdr(reinterpret_cast<void*>(&library_path), &own) == 0 || own.dli_fname == nullptr) return {};
  const std::string path = own.dli_fname;
  return path.substr(0, path.rfind('/') + 1) + "libredllm_cuda.so";
}

}  // namespace

std::vector<DeviceReport> list_devices(const std::string& library) {
  std::vector<DeviceReport> list;
  for (cpu::Isa isa : {cpu::Isa::avx512, cpu::Isa::avx2, cpu::Isa::plain}) {
    const char* name = cpu::isa_name(isa);
    const bool available = cpu::ops_for(name) != nullptr;
    list.push_back({std::string("cpu ") + name, available,
                    available ? "ready" : "this processor, or this build, does not have these instructions"});
  }
  DeviceLibrary cuda(library_path(library));
  const int32_t count = cuda.count();
  if (count == 0) list.push_back({"cuda", false, cuda.why()});
  for (int32_t i = 0; i < count; ++i) {
    std::string detail;
    const bool available = cuda.describe(i, &detail);
    list.push_back({std::string(kCudaPrefix) + std::to_string(i), available, detail});
  }
  return list;
}

std::shared_ptr<Backend> open_device(const DeviceOptions& options) {
  if (options.device.starts_with(kCudaPrefix)) {
    return DeviceLibrary(library_path(options.library)).open(std::stoi(options.device.substr(kCudaPrefix.size())));
  }
  return std::make_shared<cpu::Backend>(options.threads > 0 ? options.threads : cpu::default_threads(),
                                        options.isa.c_str());
}

}  // namespace redllm

#include "device_library.h"

#include <dlfcn.h>
#include <unistd.h>

#include <stdexcept>

namespace redllm {
namespace {

constexpr uint64_t kSentenceBytes = 512;

class DeviceBackend final : public Backend {
 public:
  DeviceBackend(const DeviceLibraryEntry* entry, Context* context) : entry_(entry), context_(context) {}
  ~DeviceBackend() override { entry_->close(context_); }

  const Ops& ops() const override { return *entry_->ops; }
  Context* context() override { return context_; }
  int32_t threads() const override { return 0; }
  const char* note() override { return entry_->note(context_); }

 private:
  const DeviceLibraryEntry* entry_;
  Context* context_;
};

}  // namespace

DeviceLibrary::DeviceLibrary(const std::string& path) {
  if (access(path.c_str(), F_OK) != 0) {
    why_ = "there is no library " + path;
    return;
  }
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* reason = dlerror();
    why_ = "the library could not be opened: " + (reason != nullptr ? std::string(reason) : path);
    return;
  }
  using Function = const DeviceLibraryEntry* (*)();
  auto function = reinterpret_cast<Function>(dlsym(library, "redllm_device_library"));
  const DeviceLibraryEntry* entry = function != nullptr ? function() : nullptr;
  if (entry == nullptr) {
    why_ = path + " is not a device library of redllm";
  } else if (entry->abi != kOpsAbi || entry->size != sizeof(DeviceLibraryEntry) || entry->ops->abi != kOpsAbi) {
    why_ = path + " was built for another version of redllm; build both anew";
  } else {
    entry_ = entry;
  }
}

int32_t DeviceLibrary::count() {
  if (entry_ == nullptr) return 0;
  char why[kSentenceBytes] = "";
  const int32_t count = entry_->count(why, sizeof why);
  if (count > 0) return count;
  why_ = why;
  return 0;
}

bool DeviceLibrary::describe(int32_t index, std::string* text) const {
  char found[kSentenceBytes] = "";
  const bool serves = entry_->describe(index, found, sizeof found);
  *text = found;
  return serves;
}

std::shared_ptr<Backend> DeviceLibrary::open(int32_t index) {
  if (entry_ == nullptr) throw std::runtime_error(why_);
  char why[kSentenceBytes] = "";
  Context* context = entry_->open(index, why, sizeof why);
  if (context == nullptr) throw std::runtime_error(why);
  return std::make_shared<DeviceBackend>(entry_, context);
}

}  // namespace redllm

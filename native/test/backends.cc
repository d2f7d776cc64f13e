#include "backends.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#include "cpu/backend.h"
#include "cpu/isa.h"
#include "cpu/page_layout.h"
#include "cuda/layout.cuh"
#include "device_library.h"
#include "shared_memory.h"

namespace redllm::test {

namespace {

// One library a program: ops are plain functions and know nothing but their context.
struct Library {
  const DeviceLibraryEntry* entry = nullptr;
  void (*order)(uint64_t seed) = nullptr;  // of the emulator's threads; 0: as they are numbered
  bool recording = false;                  // between begin_run() and end_run() nothing may wait
};

Library library;

class DeviceBackend final : public Backend {
 public:
  DeviceBackend(std::shared_ptr<Backend> device, uint64_t order);
  ~DeviceBackend() override;
  const Ops& ops() const override { return ops_; }
  Context* context() override { return device_->context(); }
  int32_t threads() const override { return 0; }

 private:
  Ops ops_;
  std::shared_ptr<Backend> device_;
};

struct Order {
  Context* context;
  uint64_t seed;
};

std::vector<Order> orders;

void before(Context* context) {
  if (library.order == nullptr) return;
  for (const Order& order : orders)
    if (order.context == context) library.order(order.seed);
}

// Every op is waited for, so that tests of ops may read its results as their own. REDLLM_TEST_OVERLAP=on leaves that out, for tests that
// fetch what they compare: then kernels start before those launched earlier have ended, as they do when a model serves.
void after(Context* context) {
  static const bool overlap = std::getenv("REDLLM_TEST_OVERLAP") != nullptr;
  if (library.recording || overlap) return;
  const bool done = library.entry->synchronize(context);
  const char* error = library.entry->ops->error(context);
  if (done && error == nullptr) return;
  throw std::runtime_error(error != nullptr ? error : "the device could not be waited for");
}

template <auto kOp, typename Args>
void call(Context* context, const Args& args) {
  before(context);
  (library.entry->ops->*kOp)(context, args);
  after(context);
}

bool begin_run(Context* context, uint64_t owner, uint64_t key) {
  before(context);
  const bool replayed = library.entry->ops->begin_run(context, owner, key);
  library.recording = !replayed;
  if (replayed) after(context);
  return replayed;
}

bool end_run(Context* context) {
  library.recording = !library.entry->ops->end_run(context);
  after(context);
  return !library.recording;
}

DeviceBackend::DeviceBackend(std::shared_ptr<Backend> device, uint64_t order)
    : ops_(device->ops()), device_(std::move(device)) {
  orders.push_back({context(), order});
  ops_.begin_run = begin_run;
  ops_.end_run = end_run;
  ops_.pack = call<&Ops::pack, PackArgs>;
  ops_.embed = call<&Ops::embed, EmbedArgs>;
  ops_.gather = call<&Ops::gather, GatherArgs>;
  ops_.norm = call<&Ops::norm, NormArgs>;
  ops_.matmul = call<&Ops::matmul, MatmulArgs>;
  ops_.append = call<&Ops::append, AppendArgs>;
  ops_.attention = call<&Ops::attention, AttentionArgs>;
  ops_.attention_mass = call<&Ops::attention_mass, AttentionMassArgs>;
  ops_.copy_pages = call<&Ops::copy_pages, CopyPagesArgs>;
  ops_.set_history = call<&Ops::set_history, HistoryArgs>;
  ops_.sample = call<&Ops::sample, SampleArgs>;
}

DeviceBackend::~DeviceBackend() {
  std::erase_if(orders, [this](const Order& order) { return order.context == context(); });
}

// Of a library that the core has opened: what tests alone use.
void find_exports(const std::string& path) {
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  library.entry = reinterpret_cast<const DeviceLibraryEntry* (*)()>(dlsym(handle, "redllm_device_library"))();
  library.order = reinterpret_cast<void (*)(uint64_t)>(dlsym(handle, "redllm_emu_order"));
}

void add_device(std::vector<std::unique_ptr<Backend>>& all, const std::string& path) {
  DeviceLibrary device(path);
  for (const uint64_t order : {0, 1}) {
    auto backend = device.open(0);  // throws where the library or the device is not to be used
    if (library.entry == nullptr) find_exports(path);
    all.push_back(std::make_unique<DeviceBackend>(std::move(backend), order));
  }
}

}  // namespace

std::vector<std::unique_ptr<Backend>> every_backend() {
  std::vector<std::unique_ptr<Backend>> all;
  const char* device = std::getenv("REDLLM_TEST_DEVICE");
  if (device != nullptr && std::strcmp(device, "cuda") == 0) {
    const char* path = std::getenv("REDLLM_TEST_LIBRARY");
    if (path == nullptr) throw std::runtime_error("REDLLM_TEST_LIBRARY does not say which library");
    add_device(all, path);
#ifndef REDLLM_SANITIZE
    use_shared_memory(library.entry->allocate_shared);
#endif
    return all;
  }
  for (const char* isa : {"plain", "avx2", "avx512"})
    for (int32_t threads : {1, 2})
      if (cpu::ops_for(isa) != nullptr) all.push_back(std::make_unique<cpu::Backend>(threads, isa));
  if (*REDLLM_CUDA_EMU_LIBRARY != 0) add_device(all, REDLLM_CUDA_EMU_LIBRARY);
  return all;
}

bool emulated(const Backend& backend) {
  return on_device(backend) && library.order != nullptr;
}

PageElements::PageElements(const Backend& backend, const PagePool& pool, int32_t layer) {
  const auto take = [this](const auto& layout) {
    page_ = layout.page;
    layer_ = layout.layer;
    head_ = layout.head;
    value_ = layout.value;
  };
  if (on_device(backend)) {
    take(cuda::page_layout(pool, layer));
    key_token_ = pool.head_dim;
    key_d_ = 1;
    value_width_ = pool.head_dim;
  } else {
    take(cpu::page_layout(pool, layer));
    key_token_ = 1;
    key_d_ = kPageTokens;
    value_width_ = static_cast<int32_t>(cpu::value_width(pool.head_dim));
  }
}

int64_t PageElements::key(int32_t page, int32_t head, int32_t token, int32_t d) const {
  return page * page_ + layer_ + head * head_ + token * key_token_ + d * key_d_;
}

int64_t PageElements::value(int32_t page, int32_t head, int32_t token, int32_t d) const {
  return page * page_ + layer_ + head * head_ + value_ + int64_t{token} * value_width_ + d;
}

}  // namespace redllm::test

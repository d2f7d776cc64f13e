#include "cuda/library_product.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "cuda/cublaslt.h"
#include "cuda/library_trial.cuh"

namespace redllm::cuda {

namespace {

using cublaslt::Descriptor;

constexpr int64_t kLibraryBytes = int64_t{32} << 20;  // of workspace: what NVIDIA recommends for compute capability 9.0
constexpr int kCandidates = 8;
constexpr int64_t kTileRows = 128;  // of most algorithms' tiles: a slice of rows fills them
// Numbers of rows for which algorithms are asked for, since one that suits many leaves a device idle with few. The first of kFirst's that
// passes its trial serves; for the other numbers one is taken that gives the same bits, if there is one.
constexpr int64_t kNominalRows[] = {128, 512, 2048, 8192};
constexpr int kNominals = 4;
constexpr int kFirst = 1;
// The least alignment of what is ever multiplied: rows of x and of the output start at any multiple of a row.
constexpr uint32_t kAlignment = 16;

// Weights [n, k] against rows: the library sees column-major matrices, out^T [n, rows] = (w^T [k, n])^T x^T [k, rows].
struct Plan {
  int64_t n, k;
  DType out_type;
  bool serves;
  Descriptor w, x, out;
  struct Choice {
    bool taken;
    cublaslt::Algorithm algorithm;
  } choices[kNominals];

  const Choice& choice(int64_t rows) const {
    int i = 0;
    while (i < kNominals - 1 && rows > 2 * kNominalRows[i]) ++i;
    return choices[choices[i].taken ? i : kFirst];
  }
};

}  // namespace

class LibraryProduct {
 public:
  LibraryProduct();
  ~LibraryProduct();
  LibraryProduct(const LibraryProduct&) = delete;
  LibraryProduct& operator=(const LibraryProduct&) = delete;

  bool is_open() const { return handle_ != nullptr; }
  const char* note() const { return note_; }
  Plan* find(int64_t n, int64_t k, DType out_type);
  // An algorithm for this shape, if one passes its trial on these weights.
  void plan(Context*, const void* w, int64_t n, int64_t k, int64_t pitch, DType out_type);
  // out = alpha x w^T + beta out. What passed its trial and is refused later is a failure of the device: another kernel in its place would
  // change a row's bits by who stands beside it.
  void multiply(Context*, Plan&, const void* x, const void* w, int64_t rows, float alpha, float beta, void* out,
                void* workspace);

 private:
  bool open();
  bool set_rows(Plan&, int64_t rows);
  int candidates(Plan&, int64_t rows, cublaslt::Found (&found)[kCandidates]);
  bool launch(Context*, Plan&, const Plan::Choice&, const void* x, const void* w, int64_t rows, float alpha, float beta,
              void* out, void* workspace);

  cublaslt::Library library_ = {};
  cublaslt::Handle handle_ = nullptr;
  Descriptor operation_ = nullptr;
  std::vector<Plan> plans_;
  char name_[256] = {};
  char note_[512] = {};
};

LibraryProduct::LibraryProduct() {
  if (!open()) handle_ = nullptr;
}

LibraryProduct::~LibraryProduct() {
  for (const Plan& plan : plans_)
    for (const Descriptor layout : {plan.w, plan.x, plan.out})
      if (layout != nullptr) library_.destroy_layout(layout);
  if (operation_ != nullptr) library_.destroy_operation(operation_);
  if (handle_ != nullptr) library_.destroy(handle_);
}

bool LibraryProduct::open() {
  const char* asked = std::getenv("REDLLM_CUBLASLT");
  std::vector<const char*> paths;
  if (asked != nullptr && *asked != '\0') {
    if (std::strcmp(asked, "off") == 0) {
      std::snprintf(note_, sizeof note_, "cuBLASLt is switched off by REDLLM_CUBLASLT");
      return false;
    }
    paths = {asked};
  } else {
#if defined(REDLLM_EMU)
    std::snprintf(note_, sizeof note_, "the emulator has no cuBLASLt");
#else
    paths = {"libcublasLt.so.13", "libcublasLt.so.12"};
#endif
  }
  char why[256] = {};
  const char* opened = nullptr;
  for (const char* path : paths) {
    if (!cublaslt::open(&library_, path, why, sizeof why)) {
      if (note_[0] == '\0') std::snprintf(note_, sizeof note_, "cuBLASLt cannot be opened: %s", why);
      continue;
    }
    opened = path;
    break;
  }
  if (opened == nullptr) return false;
  const int32_t transposed = cublaslt::kTransposed;
  cublaslt::Status status = library_.create(&handle_);
  if (status == cublaslt::kSuccess) {
    status = library_.create_operation(&operation_, cublaslt::kCompute32F, cublaslt::kReal32F);
    if (status == cublaslt::kSuccess)
      status = library_.set_operation(operation_, cublaslt::kTransposeA, &transposed, sizeof transposed);
    if (status != cublaslt::kSuccess) library_.destroy(handle_);
  }
  if (status != cublaslt::kSuccess) {
    std::snprintf(note_, sizeof note_, "%s cannot be used: status %d", opened, status);
    return false;
  }
  std::snprintf(name_, sizeof name_, "%s (version %zu)", opened, library_.version());
  std::snprintf(note_, sizeof note_, "%s is open", name_);
  return true;
}

Plan* LibraryProduct::find(int64_t n, int64_t k, DType out_type) {
  for (Plan& plan : plans_)
    if (plan.n == n && plan.k == k && plan.out_type == out_type) return &plan;
  return nullptr;
}

bool LibraryProduct::set_rows(Plan& plan, int64_t rows) {
  const uint64_t columns = static_cast<uint64_t>(rows);
  return library_.set_layout(plan.x, cublaslt::kLayoutColumns, &columns, sizeof columns) == cublaslt::kSuccess &&
         library_.set_layout(plan.out, cublaslt::kLayoutColumns, &columns, sizeof columns) == cublaslt::kSuccess;
}

// Algorithms that sum each output in one piece, the quickest for so many rows first.
int LibraryProduct::candidates(Plan& plan, int64_t rows, cublaslt::Found (&found)[kCandidates]) {
  Descriptor preference = nullptr;
  if (!set_rows(plan, rows)) return 0;
  if (library_.create_preference(&preference) != cublaslt::kSuccess) return 0;
  const uint64_t workspace = kLibraryBytes;
  const auto set = [&](int attribute, const auto& value) {
    return library_.set_preference(preference, attribute, &value, sizeof value) == cublaslt::kSuccess;
  };
  int count = 0;
  if (set(cublaslt::kMostWorkspace, workspace) && set(cublaslt::kReductions, cublaslt::kReductionNone) &&
      set(cublaslt::kAlignmentA, kAlignment) && set(cublaslt::kAlignmentB, kAlignment) &&
      set(cublaslt::kAlignmentC, kAlignment) && set(cublaslt::kAlignmentD, kAlignment) &&
      library_.find(handle_, operation_, plan.w, plan.x, plan.out, plan.out, preference, kCandidates, found, &count) !=
          cublaslt::kSuccess) {
    count = 0;
  }
  library_.destroy_preference(preference);
  const auto in_one_piece = [&](const cublaslt::Found& f) {
    int32_t splits = 0;
    uint32_t reduction = ~0u;
    size_t written = 0;
    return f.state == cublaslt::kSuccess && f.workspace <= static_cast<size_t>(kLibraryBytes) &&
           library_.configuration(&f.algorithm, cublaslt::kSplits, &splits, sizeof splits, &written) ==
               cublaslt::kSuccess &&
           library_.configuration(&f.algorithm, cublaslt::kReduction, &reduction, sizeof reduction, &written) ==
               cublaslt::kSuccess &&
           (splits == 0 || splits == 1) && reduction == cublaslt::kReductionNone;
  };
  return static_cast<int>(std::remove_if(found, found + count, [&](const auto& f) { return !in_one_piece(f); }) -
                          found);
}

void LibraryProduct::plan(Context* context, const void* w, int64_t n, int64_t k, int64_t pitch, DType out_type) {
  Plan plan = {n, k, out_type, false, nullptr, nullptr, nullptr, {}};
  const int type = out_type == DType::bf16 ? cublaslt::kRealBF16 : cublaslt::kReal32F;
  const auto layout = [&](Descriptor* to, int type, int64_t rows, int64_t columns, int64_t pitch) {
    return library_.create_layout(to, type, static_cast<uint64_t>(rows), static_cast<uint64_t>(columns), pitch) ==
           cublaslt::kSuccess;
  };
  const bool described = layout(&plan.w, cublaslt::kRealBF16, k, n, pitch) &&
                         layout(&plan.x, cublaslt::kRealBF16, k, 1, k) && layout(&plan.out, type, n, 1, n);
  Trial trial(context, w, n, k, pitch, out_type, context->workspace + kLibraryBytes, kWorkspaceBytes - kLibraryBytes);
  for (const int nominal : {kFirst, 0, 2, 3}) {
    if (!described || (nominal != kFirst && !plan.serves)) break;
    cublaslt::Found found[kCandidates];
    const int count = candidates(plan, kNominalRows[nominal], found);
    Plan::Choice& choice = plan.choices[nominal];
    for (int i = 0; i < count && !choice.taken; ++i) {
      choice = {false, found[i].algorithm};
      const auto multiply = [&](const void* x, int64_t rows, void* out) {
        return launch(context, plan, choice, x, w, rows, 1.0f, 0.0f, out, context->workspace);
      };
      choice.taken = nominal == kFirst ? trial.passes(multiply) : trial.passes_as_before(multiply);
    }
    if (nominal == kFirst) plan.serves = choice.taken;
  }
  plans_.push_back(plan);
  const auto serving = std::count_if(plans_.begin(), plans_.end(), [](const Plan& p) { return p.serves; });
  std::snprintf(note_, sizeof note_, "%s serves %zu of %zu shapes", name_, static_cast<size_t>(serving), plans_.size());
}

// It may use all of the workspace, for other numbers of rows than it was found for may need more.
bool LibraryProduct::launch(Context* context, Plan& plan, const Plan::Choice& choice, const void* x, const void* w,
                            int64_t rows, float alpha, float beta, void* out, void* workspace) {
  return set_rows(plan, rows) &&
         library_.multiply(handle_, operation_, &alpha, w, plan.w, x, plan.x, &beta, out, plan.out, out, plan.out,
                           &choice.algorithm, workspace, kLibraryBytes, context->stream) == cublaslt::kSuccess;
}

void LibraryProduct::multiply(Context* context, Plan& plan, const void* x, const void* w, int64_t rows, float alpha,
                              float beta, void* out, void* workspace) {
  if (!launch(context, plan, plan.choice(rows), x, w, rows, alpha, beta, out, workspace))
    succeeded(context, cudaErrorNotSupported, "multiplying by cuBLASLt");
}

namespace {

LibraryProduct& product_of(Context* context) {
  if (context->library_product == nullptr) context->library_product = new LibraryProduct();
  return *context->library_product;
}

bool is_plain(const Epilogue& e) {
  return e.bias == nullptr && e.activation == Activation::none && !e.gated;
}

}  // namespace

void prepare_product(Context* context, const Weight& weight) {
  // Rows that are no whole number of 16-byte pieces are padded before they are multiplied.
  const int64_t n = padded_n(weight.n, weight.gated), pitch = padded_k(weight.k),
                k = weight.k % 8 == 0 ? weight.k : pitch;
  if (weight.type != DType::bf16 || context->failure[0] != '\0') return;
  LibraryProduct& product = product_of(context);
  if (!product.is_open()) return;
  for (const DType type : {DType::f32, DType::bf16}) {
    const bool direct = !weight.gated && weight.n == n;  // else sums are finished by a kernel, from f32
    if ((type == DType::f32 || direct) && product.find(n, k, type) == nullptr)
      product.plan(context, weight.data, n, k, pitch, type);
  }
}

bool library_product(Context* context, const Product& p, char* workspace, int64_t workspace_bytes) {
  if (context->library_product == nullptr || !context->library_product->is_open()) return false;
  LibraryProduct& product = *context->library_product;
  const Epilogue& e = p.epilogue;
  const DType type = e.bf16 ? DType::bf16 : DType::f32;
  if (is_plain(e) && e.columns == p.weight_rows && reinterpret_cast<uintptr_t>(e.out) % kAlignment == 0) {
    Plan* plan = product.find(p.weight_rows, p.k, type);
    if (plan == nullptr || !plan->serves) return false;
    product.multiply(context, *plan, p.x, p.w, p.rows, e.scale, e.accumulate ? 1.0f : 0.0f, e.out, workspace);
    return true;
  }
  Plan* plan = product.find(p.weight_rows, p.k, DType::f32);
  if (plan == nullptr || !plan->serves) return false;
  float* sums = reinterpret_cast<float*>(workspace + kLibraryBytes);
  int64_t step = (workspace_bytes - kLibraryBytes) / (p.weight_rows * static_cast<int64_t>(sizeof(float)));
  if (step < 1) return false;
  if (step > kTileRows) step -= step % kTileRows;
  for (int64_t row = 0; row < p.rows; row += step) {
    const int64_t rows = std::min(step, p.rows - row);
    const char* x = static_cast<const char*>(p.x) + row * p.k * 2;
    product.multiply(context, *plan, x, p.w, rows, 1.0f, 0.0f, sums, workspace);
    Epilogue part = e;
    part.out = static_cast<char*>(e.out) + row * e.columns * static_cast<int64_t>(size_of(type));
    finish_sums(context, sums, rows, p.weight_rows, part);
  }
  return true;
}

const char* library_product_note(Context* context) {
  return product_of(context).note();
}

void close_library_product(Context* context) {
  delete context->library_product;
  context->library_product = nullptr;
}

}  // namespace redllm::cuda

// A library with cuBLASLt's interface, as far as native/cuda/cublaslt.h declares it, for tests on the host. It offers the algorithms that
// FAKE_CUBLASLT names: a list for up to 256 rows, for up to 1,024, 4,096 and above, with commas between them, the last one standing for
// those that are not there. Each is a letter, and most are unfit in a way of their own:
//   s  cuts K into two splits    r  reduces by another kernel   f  refuses to be launched
//   c  lets a row's sum depend on the number of rows            p  ... on its place
//   w  takes other weights       d  sums downwards, which is good by itself
//   g  is good                   h  gives the same bits
// A column of a matrix is `pitch` elements from the next, as everywhere in cuBLASLt.
#include <cstdlib>
#include <cstring>

#include "cuda/cublaslt.h"

using namespace redllm::cuda::cublaslt;

namespace {

constexpr Status kInvalid = 7;
constexpr Status kNotSupported = 15;

struct FakeLayout {
  int type;
  uint64_t rows, columns;
  int64_t pitch;
};
struct Operation {
  int32_t transposed;
};

int64_t launched[256];

float read(const void* data, int type, int64_t at) {
  if (type == kReal32F) return static_cast<const float*>(data)[at];
  const uint32_t bits = uint32_t{static_cast<const uint16_t*>(data)[at]} << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

void write(void* data, int type, int64_t at, float value) {
  if (type == kReal32F) {
    static_cast<float*>(data)[at] = value;
    return;
  }
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  static_cast<uint16_t*>(data)[at] = static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

template <typename T>
Status create(void** to, const T& object) {
  *to = new T(object);
  return kSuccess;
}
template <typename T>
Status destroy(void* object) {
  delete static_cast<T*>(object);
  return kSuccess;
}
template <typename T>
Status set(T* to, const void* value, size_t bytes) {
  if (bytes != sizeof(T)) return kInvalid;
  std::memcpy(to, value, bytes);
  return kSuccess;
}

}  // namespace

#define FAKE extern "C" __attribute__((visibility("default")))

FAKE int64_t fake_cublaslt_launched(char algorithm) {
  return launched[static_cast<unsigned char>(algorithm)];
}

FAKE Status cublasLtCreate(Handle* handle) {
  return create(handle, 0);
}
FAKE Status cublasLtDestroy(Handle handle) {
  return destroy<int>(handle);
}
FAKE size_t cublasLtGetVersion() {
  return 1;
}

FAKE Status cublasLtMatmulDescCreate(Descriptor* to, int compute, int scale) {
  return compute == kCompute32F && scale == kReal32F ? create(to, Operation{0}) : kInvalid;
}
FAKE Status cublasLtMatmulDescDestroy(Descriptor operation) {
  return destroy<Operation>(operation);
}
FAKE Status cublasLtMatmulDescSetAttribute(Descriptor operation, int attribute, const void* value, size_t bytes) {
  if (attribute != kTransposeA) return kInvalid;
  return set(&static_cast<Operation*>(operation)->transposed, value, bytes);
}

FAKE Status cublasLtMatrixLayoutCreate(Descriptor* to, int type, uint64_t rows, uint64_t columns, int64_t pitch) {
  return create(to, FakeLayout{type, rows, columns, pitch});
}
FAKE Status cublasLtMatrixLayoutDestroy(Descriptor layout) {
  return destroy<FakeLayout>(layout);
}
FAKE Status cublasLtMatrixLayoutSetAttribute(Descriptor layout, int attribute, const void* value, size_t bytes) {
  if (attribute != kLayoutColumns) return kInvalid;
  return set(&static_cast<FakeLayout*>(layout)->columns, value, bytes);
}

FAKE Status cublasLtMatmulPreferenceCreate(Descriptor* to) {
  return create(to, 0);
}
FAKE Status cublasLtMatmulPreferenceDestroy(Descriptor preference) {
  return destroy<int>(preference);
}
FAKE Status cublasLtMatmulPreferenceSetAttribute(Descriptor, int attribute, const void*, size_t bytes) {
  return bytes == (attribute == kMostWorkspace ? 8u : 4u) ? kSuccess : kInvalid;
}

FAKE Status cublasLtMatmulAlgoGetHeuristic(Handle, Descriptor, Descriptor, Descriptor x, Descriptor, Descriptor,
                                           Descriptor, int most, Found* found, int* count) {
  const char* names = std::getenv("FAKE_CUBLASLT");
  *count = 0;
  if (names == nullptr) return kNotSupported;
  for (uint64_t rows = 256; static_cast<FakeLayout*>(x)->columns > rows; rows *= 4)
    if (const char* comma = std::strchr(names, ','); comma != nullptr) names = comma + 1;
  for (; *names != '\0' && *names != ',' && *count < most; ++names) {
    found[*count] = {};
    found[(*count)++].algorithm.data[0] = static_cast<uint64_t>(*names);
  }
  return kSuccess;
}
FAKE Status cublasLtMatmulAlgoConfigGetAttribute(const Algorithm* algorithm, int attribute, void* value, size_t bytes,
                                                 size_t* written) {
  const char name = static_cast<char>(algorithm->data[0]);
  const int32_t answer = attribute == kSplits ? (name == 's' ? 2 : 1) : attribute == kReduction ? name == 'r' : -1;
  if (answer < 0 || bytes != 4) return kInvalid;
  std::memcpy(value, &answer, 4);
  *written = 4;
  return kSuccess;
}

FAKE Status cublasLtMatmul(Handle, Descriptor operation, const void* alpha, const void* a, Descriptor a_layout,
                           const void* b, Descriptor b_layout, const void* beta, const void* c, Descriptor c_layout,
                           void* d, Descriptor d_layout, const Algorithm* algorithm, void*, size_t, CUstream_st*) {
  const FakeLayout& w = *static_cast<FakeLayout*>(a_layout);
  const FakeLayout& x = *static_cast<FakeLayout*>(b_layout);
  const FakeLayout& out = *static_cast<FakeLayout*>(d_layout);
  const char name = static_cast<char>(algorithm->data[0]);
  if (name == 'f') return kNotSupported;
  const bool fits = static_cast<Operation*>(operation)->transposed == kTransposed && w.rows == x.rows &&
                    w.columns == out.rows && x.columns == out.columns && c == d && c_layout == d_layout &&
                    w.pitch >= int64_t(w.rows) && x.pitch >= int64_t(x.rows) && out.pitch >= int64_t(out.rows) &&
                    reinterpret_cast<uintptr_t>(a) % 16 == 0 && reinterpret_cast<uintptr_t>(b) % 16 == 0 &&
                    reinterpret_cast<uintptr_t>(d) % 16 == 0;
  if (!fits) return kInvalid;
  ++launched[static_cast<unsigned char>(name)];
  for (int64_t j = 0; j < int64_t(out.columns); ++j)
    for (int64_t i = 0; i < int64_t(out.rows); ++i) {
      const int64_t row = name == 'w' ? (i + 1) % int64_t(out.rows) : i;
      const bool downwards = name == 'd' || (name == 'c' && x.columns > 1) || (name == 'p' && j % 2 != 0);
      float sum = 0;
      for (int64_t step = 0; step < int64_t(w.rows); ++step) {
        const int64_t k = downwards ? int64_t(w.rows) - 1 - step : step;
        sum += read(a, w.type, row * w.pitch + k) * read(b, x.type, j * x.pitch + k);
      }
      const float before = *static_cast<const float*>(beta) == 0 ? 0 : read(c, out.type, j * out.pitch + i);
      write(d, out.type, j * out.pitch + i,
            *static_cast<const float*>(alpha) * sum + *static_cast<const float*>(beta) * before);
    }
  return kSuccess;
}

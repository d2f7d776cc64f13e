// As much of cuBLASLt's interface as products need, declared by hand, so that nothing of it is needed to build; the library is opened at
// run time. Values and shapes are those of cublasLt.h (CUDA 12 and 13), with which cublaslt.cu compares them where there is one.
#pragma once

#include <cstddef>
#include <cstdint>

struct CUstream_st;

namespace redllm::cuda::cublaslt {

using Status = int;
using Handle = void*;
using Descriptor = void*;

constexpr Status kSuccess = 0;
constexpr int kCompute32F = 68;
constexpr int kReal32F = 0;
constexpr int kRealBF16 = 14;
constexpr int kTransposed = 1;
constexpr uint32_t kReductionNone = 0;

constexpr int kTransposeA = 3;     // of an operation, int32_t
constexpr int kLayoutColumns = 3;  // of a layout, uint64_t
constexpr int kMostWorkspace = 1;  // of a preference, uint64_t
constexpr int kReductions = 3;     // uint32_t, a mask
constexpr int kAlignmentA = 5;     // uint32_t, as are the next
constexpr int kAlignmentB = 6;
constexpr int kAlignmentC = 7;
constexpr int kAlignmentD = 8;
constexpr int kSplits = 2;     // of an algorithm, int32_t
constexpr int kReduction = 3;  // uint32_t

struct Algorithm {
  uint64_t data[8];
};
struct Found {
  Algorithm algorithm;
  size_t workspace;
  Status state;
  float waves;
  int reserved[4];
};

struct Library {
  Status (*create)(Handle*);
  Status (*destroy)(Handle);
  size_t (*version)();
  Status (*create_operation)(Descriptor*, int compute, int scale);
  Status (*destroy_operation)(Descriptor);
  Status (*set_operation)(Descriptor, int attribute, const void*, size_t);
  Status (*create_layout)(Descriptor*, int type, uint64_t rows, uint64_t columns, int64_t pitch);
  Status (*destroy_layout)(Descriptor);
  Status (*set_layout)(Descriptor, int attribute, const void*, size_t);
  Status (*create_preference)(Descriptor*);
  Status (*destroy_preference)(Descriptor);
  Status (*set_preference)(Descriptor, int attribute, const void*, size_t);
  Status (*find)(Handle, Descriptor operation, Descriptor a, Descriptor b, Descriptor c, Descriptor d,
                 Descriptor preference, int most, Found*, int* count);
  Status (*configuration)(const Algorithm*, int attribute, void*, size_t, size_t* written);
  Status (*multiply)(Handle, Descriptor operation, const void* alpha, const void* a, Descriptor, const void* b,
                     Descriptor, const void* beta, const void* c, Descriptor, void* d, Descriptor, const Algorithm*,
                     void* workspace, size_t workspace_bytes, CUstream_st* stream);
};

// False where the file cannot be opened or lacks a function: `why` then says so. What has been opened is never closed.
bool open(Library*, const char* path, char* why, size_t room);

}  // namespace redllm::cuda::cublaslt

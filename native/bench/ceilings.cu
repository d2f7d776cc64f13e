// What a GPU's memory gives at most, measured beside the kernels: copies by the driver, copies and reads by plain kernels. Data is noise
// and of no cache. Prints one JSON object of GB/s, bytes read and bytes written counted alike.
//
//   nvcc -O3 -std=c++20 -gencode arch=compute_80,code=compute_80 native/bench/ceilings.cu -o ceilings && ./ceilings
#include <cuda_runtime.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

namespace {

constexpr int64_t kBytes = int64_t{1} << 30;
constexpr int64_t kPieces = kBytes / 16;
constexpr int kThreads = 512;
constexpr int kAtOnce = 8;  // 16-byte pieces a thread

void require(cudaError_t code, const char* what) {
  if (code == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(code));
  std::exit(1);
}

__global__ void fill(uint4* to) {
  uint64_t state = (uint64_t{blockIdx.x} * kThreads + threadIdx.x) * 0x9E3779B97F4A7C15ull + 1;
  for (int i = 0; i < kAtOnce; ++i) {
    state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
    const uint32_t low = static_cast<uint32_t>(state), high = static_cast<uint32_t>(state >> 32);
    to[(int64_t{blockIdx.x} * kAtOnce + i) * kThreads + threadIdx.x] = {low, high, low ^ high, low + high};
  }
}

__global__ void copy(uint4* to, const uint4* from) {
  uint4 v[kAtOnce];
  const int64_t first = int64_t{blockIdx.x} * kAtOnce * kThreads + threadIdx.x;
#pragma unroll
  for (int i = 0; i < kAtOnce; ++i) v[i] = __ldcs(from + first + int64_t{i} * kThreads);
#pragma unroll
  for (int i = 0; i < kAtOnce; ++i) __stcs(to + first + int64_t{i} * kThreads, v[i]);
}

// The sum is written where it is a number that noise does not give.
__global__ void read(uint4* to, const uint4* from) {
  uint4 v[kAtOnce];
  const int64_t first = int64_t{blockIdx.x} * kAtOnce * kThreads + threadIdx.x;
#pragma unroll
  for (int i = 0; i < kAtOnce; ++i) v[i] = __ldcs(from + first + int64_t{i} * kThreads);
  uint32_t sum = 0;
#pragma unroll
  for (int i = 0; i < kAtOnce; ++i) sum ^= v[i].x ^ v[i].y ^ v[i].z ^ v[i].w;
  if (sum == 0x5EED5EED && v[0].x == v[1].x) to[0] = v[0];
}

// GB/s of nine repetitions, each of some 10 ms.
std::vector<double> rates(double bytes, const std::function<void()>& body) {
  const auto timed = [&](int times) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < times; ++i) body();
    require(cudaDeviceSynchronize(), "waiting");
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  timed(3);
  const int times = std::max(3, static_cast<int>(0.01 / (timed(3) / 3)));
  std::vector<double> all;
  for (int i = 0; i < 9; ++i) all.push_back(bytes * times / timed(times) / 1e9);
  return all;
}

void print(const char* name, const std::vector<double>& values, const char* end) {
  std::printf("  \"%s\": [", name);
  for (size_t i = 0; i < values.size(); ++i) std::printf("%s%.1f", i > 0 ? ", " : "", values[i]);
  std::printf("]%s\n", end);
}

}  // namespace

int main() {
  uint4 *a = nullptr, *b = nullptr;
  require(cudaMalloc(&a, kBytes), "allocating");
  require(cudaMalloc(&b, kBytes), "allocating");
  constexpr int kBlocks = static_cast<int>(kPieces / kThreads / kAtOnce);
  fill<<<kBlocks, kThreads>>>(a);
  std::printf("{\n");
  print("copy by the driver", rates(2.0 * kBytes, [&] { cudaMemcpyAsync(b, a, kBytes, cudaMemcpyDeviceToDevice); }),
        ",");
  print("copy by a kernel", rates(2.0 * kBytes, [&] { copy<<<kBlocks, kThreads>>>(b, a); }), ",");
  print("read by a kernel", rates(1.0 * kBytes, [&] { read<<<kBlocks, kThreads>>>(b, a); }), "");
  std::printf("}\n");
  require(cudaGetLastError(), "measuring");
  return 0;
}

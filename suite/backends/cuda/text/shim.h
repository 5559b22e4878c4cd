// CUDA's words for g++: what device.h does not define itself. Each thread of a block is a fiber of one process (grid.h); it
// gives way at barriers and shuffles and nowhere else. A line beside a barrier is how grid.h sees threads at different ones.
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

#define __global__ __attribute__((visibility("default")))
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

struct Index {
    unsigned x, y, z;
};
extern Index threadIdx, blockIdx, blockDim, gridDim;

namespace shim {

extern unsigned char* shared; // the running thread's block's
extern unsigned rank;         // of that block in its cluster

void block_barrier(int line);
void cluster_barrier(int line);
// What the thread `distance` (by xor) away in the warp brings; `size` bytes of it are used. It orders no memory.
uint64_t exchange(unsigned mask, uint64_t mine, unsigned size, unsigned distance, int line);
// The place in block `rank` of what `own` points to.
void* in_cluster(const void* own, unsigned rank, unsigned size);

template <typename T> T exchange(unsigned mask, T value, unsigned distance, int line) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "a shuffle of 4 or 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(T));
    bits = exchange(mask, bits, sizeof(T), distance, line);
    memcpy(&value, &bits, sizeof(T));
    return value;
}

} // namespace shim

#define SHARED(type, name) type* name = reinterpret_cast<type*>(shim::shared)
#define __syncthreads() shim::block_barrier(__LINE__)
#define cluster_barrier() shim::cluster_barrier(__LINE__)
#define __shfl_xor_sync(mask, value, lanes) shim::exchange(mask, value, lanes, __LINE__)

inline unsigned cluster_rank() { return shim::rank; }

inline void cluster_store(float* own, unsigned rank, float value) {
    *static_cast<float*>(shim::in_cluster(own, rank, sizeof(float))) = value;
}
inline void cluster_store(double* own, unsigned rank, double value) {
    *static_cast<double*>(shim::in_cluster(own, rank, sizeof(double))) = value;
}

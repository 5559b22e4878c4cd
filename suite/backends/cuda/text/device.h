// What a generated kernel may use beside the language itself. Compiled by NVRTC (sm_80 to sm_120; no header is at hand) and,
// behind shim.h, by g++. The functions are for float and double, let NaN pass, and treat ties as torch does.
//
//   threadIdx.x  blockIdx.x  blockIdx.y  blockDim.x  gridDim.x  __syncthreads()  __shfl_xor_sync(0xffffffffu, value, lanes)
//   SHARED(type, name)                 declares `type* name`, the block's dynamic shared memory, aligned to 16 bytes
//   cluster_rank()                     this block's place in its cluster, from 0
//   cluster_barrier()                  all threads of all blocks of the cluster wait for each other; stores before are seen after
//   cluster_store(own, rank, value)    stores where `own` points to, but in the shared memory of block `rank` of the cluster
//   exp log tanh sigmoid softplus relu absolute sign   maximum minimum
//
// Clusters are there from sm_90 on; for an earlier architecture a text that names them does not compile.
// A cluster_store needs a cluster_barrier before it, so that the other block runs, and one after it, so that it still does.
#pragma once

#if defined(__CUDACC__)

#define SHARED(type, name)                                                     \
    extern __shared__ __align__(16) unsigned char dynamic_shared_memory[];     \
    type* name = reinterpret_cast<type*>(dynamic_shared_memory)

#if __CUDA_ARCH__ >= 900

__device__ __forceinline__ unsigned cluster_rank() {
    unsigned rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

__device__ __forceinline__ void cluster_barrier() {
    // not .aligned: loops before it may leave a warp's lanes apart
    asm volatile("barrier.cluster.arrive.release;" ::: "memory");
    asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
}

// The address, in the window of the cluster's shared memory, of what lies in block `rank` where `own` points to in this one.
__device__ __forceinline__ unsigned in_cluster(const void* own, unsigned rank) {
    unsigned there;
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"((unsigned)__cvta_generic_to_shared(own)), "r"(rank));
    return there;
}

__device__ __forceinline__ void cluster_store(float* own, unsigned rank, float value) {
    asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(in_cluster(own, rank)), "f"(value) : "memory");
}

__device__ __forceinline__ void cluster_store(double* own, unsigned rank, double value) {
    asm volatile("st.shared::cluster.f64 [%0], %1;" ::"r"(in_cluster(own, rank)), "d"(value) : "memory");
}

#endif

#else

#include "shim.h"

#endif

// exp, log and tanh of float and double are there already: accurate to some units in the last place, without --use_fast_math.

__device__ __forceinline__ float absolute(float a) { return fabsf(a); }
__device__ __forceinline__ double absolute(double a) { return fabs(a); }

// max(a, 0): a comparison with NaN is false
__device__ __forceinline__ float relu(float a) { return a < 0.0f ? 0.0f : a; }
__device__ __forceinline__ double relu(double a) { return a < 0.0 ? 0.0 : a; }

// -1, 0 or 1, and NaN of NaN
__device__ __forceinline__ float sign(float a) { return a > 0.0f ? 1.0f : a < 0.0f ? -1.0f : a; }
__device__ __forceinline__ double sign(double a) { return a > 0.0 ? 1.0 : a < 0.0 ? -1.0 : a; }

// NaN if one of the two is, which fmax and fmin are not
__device__ __forceinline__ float maximum(float a, float b) { return a != a || a > b ? a : b; }
__device__ __forceinline__ double maximum(double a, double b) { return a != a || a > b ? a : b; }
__device__ __forceinline__ float minimum(float a, float b) { return a != a || a < b ? a : b; }
__device__ __forceinline__ double minimum(double a, double b) { return a != a || a < b ? a : b; }

// 1 / (1 + exp(-a)), of exp(-|a|) <= 1, so that nothing overflows and small values keep their digits
__device__ __forceinline__ float sigmoid(float a) {
    float e = expf(-fabsf(a));
    return (a < 0.0f ? e : 1.0f) / (1.0f + e);
}
__device__ __forceinline__ double sigmoid(double a) {
    double e = exp(-fabs(a));
    return (a < 0.0 ? e : 1.0) / (1.0 + e);
}

// log(1 + exp(a)) = max(a, 0) + log(1 + exp(-|a|))
__device__ __forceinline__ float softplus(float a) { return relu(a) + log1pf(expf(-fabsf(a))); }
__device__ __forceinline__ double softplus(double a) { return relu(a) + log1p(exp(-fabs(a))); }

"""The GPU kernels: generated CUDA C++, compiled by NVRTC for a device, or by g++ to run on the CPU."""

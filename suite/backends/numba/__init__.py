"""The CPU kernels: a traced cell as generated source, compiled by numba."""

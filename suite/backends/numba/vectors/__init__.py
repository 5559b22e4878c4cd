"""What generated source is written in: SIMD vectors as a type of numba, functions on them, calls. All cache keys hash it."""

"""Generated CUDA C++: a cell's scan, forward and backward, and the products around it."""

"""How made programs are compiled, loaded, and put onto a GPU: one by one, together, in loops and as graphs."""

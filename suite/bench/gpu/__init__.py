"""``python -m lstm_odyssey.bench.gpu``: what is right, how fast it is and what bounds it on a GPU, in one record."""

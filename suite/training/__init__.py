"""One population of networks, from draws to scores."""

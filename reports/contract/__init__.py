"""The contract of stored results: schema, files, and the way back."""

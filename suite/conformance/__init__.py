"""What a cell and a task promise, and who asks: the equality ladder, and the tools it stands on."""

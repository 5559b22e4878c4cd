"""A study, from what is asked to what is stored."""

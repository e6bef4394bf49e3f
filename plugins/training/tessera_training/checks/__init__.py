"""Runs recorded in PyTorch and played again by the runtime."""

"""Training objectives: each turns a batch of image numbers into a loss.

An objective is an `nn.Module` that holds what it trains. `draw` makes every random decision of a step
from one generator for the whole batch, `forward` is then free of randomness (dropout aside). So a run is
reproduced by its seed, and several processes that each take a slice of the batch do what one would.
"""

"""Files in and out: checkpoints, weights, model folders, published checkpoints and their conversion."""

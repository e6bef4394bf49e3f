"""The networks and their mathematics: MAR, the texture model, tokenizers, diffusion, wavelets, styles."""

"""Training of Tessera's image generators: textures in, a model directory out."""

__version__ = "0.1.0"

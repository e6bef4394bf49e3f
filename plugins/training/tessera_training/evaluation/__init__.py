"""How good a model is: features, distances, sheets, presets, limits, and the report."""

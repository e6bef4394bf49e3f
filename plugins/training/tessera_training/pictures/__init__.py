"""Training pictures: folders, tables, packs and their latents."""

"""Recipes and the catalog: text with line marks in, immutable values out."""

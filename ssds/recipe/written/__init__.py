"""Releases written as a recipe of our own format: the way back from the model to text. Pure."""

"""Recipes of our format out of files that were written for other tools. Pure."""

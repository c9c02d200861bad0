"""Saved plans: what a plan rests on, kept in a file, and judged again before it is applied."""

"""Looks through anybody's image where it lies: what is in it, what is known of that, its files."""

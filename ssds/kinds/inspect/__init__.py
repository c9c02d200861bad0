"""Looks through an image's layers for what should not be shipped. Nothing in it is executed."""

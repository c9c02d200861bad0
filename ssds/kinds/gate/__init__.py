"""Judges findings by a policy and the waivers in force; gives a verdict."""

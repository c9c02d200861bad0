"""Recipes as Dockerfiles and Apptainer definitions: the very steps that a builder would run.

``record`` takes down what each step asks of its builder, ``dockerfile`` and ``apptainer`` write it.
"""

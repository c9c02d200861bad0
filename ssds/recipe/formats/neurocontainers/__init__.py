"""Reads NeuroDesk's recipes (``build.yaml`` of a neurocontainers checkout) as they are.

``reader`` is the entrance. ``values`` is their YAML, ``grammar`` what a recipe may say, ``jinja``
and ``context`` their template language, ``files`` what is declared, ``shell`` how their texts
become instructions, ``directives`` the steps, ``presets`` their templates, ``frame`` what every
image gets before and after, ``targets`` one release on one platform.
"""

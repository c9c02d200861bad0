"""Audits: a released image is built again elsewhere, compared with its lock, and kept in a ledger.

``rebuild`` builds in a fresh store, ``compare`` finds the level and the paths that differ,
``causes`` says why two files differ, ``agreements`` counts what the ledger holds.
"""

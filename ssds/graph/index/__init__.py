"""The persistent plan index: what the last plan rested on, so that the next one need not look.

A pure cache in one file (contracts C2, C4). ``layout`` is the file, ``rows`` the look at the
disk, ``table`` what is remembered, ``make`` how a plan becomes an index. ``layout`` and ``rows``
are on the way of every plan: they import nothing that costs time.
"""

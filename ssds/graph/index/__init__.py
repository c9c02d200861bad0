"""The persistent plan index: what the last plan rested on, so that the next one need not look.

A pure cache in one file (contracts C2, C4). ``layout`` is the file, ``groups`` and ``rows`` the
look at the disk, ``hot`` the answer where nothing changed: they are on the way of every plan and
import nothing that costs time. ``table`` is what is remembered, ``changes`` what is not as before,
``files`` and ``entries`` what a plan leaves of files and recipes, ``edit`` and ``keeping`` how it
is written. ``exporting``, ``portable`` and ``adopting`` carry it to other clones.
"""

"""Steps that others' generators describe, written out as steps that ssds knows."""

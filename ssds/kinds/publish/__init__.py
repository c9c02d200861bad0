"""The publish kind: tested, gated layers are compressed and get their manifest (C7)."""

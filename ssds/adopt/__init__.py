"""Moving in: what others deployed becomes locks with a release half only; no byte moves (C23)."""

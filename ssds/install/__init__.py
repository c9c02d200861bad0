"""One person's tools: installed from where images are, without catalog or workspace."""

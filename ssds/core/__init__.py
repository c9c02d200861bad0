"""The pure heart: digests, canonical form, platforms, model, diagnostics, errors. No I/O."""

"""What is allowed but unwise, and how findings are mended: advice over a whole catalog. Pure."""

"""The dataset kind: what a reference data set holds, over its layers."""

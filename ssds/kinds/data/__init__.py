"""The data kind: files of a reference data set as layers, unpacked or made by an index step."""

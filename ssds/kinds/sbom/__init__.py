"""Takes the inventory of an image: the SBOM and the commands. Nothing in it is executed."""

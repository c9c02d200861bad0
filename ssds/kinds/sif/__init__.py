"""The sif kind: a released image as one file for Apptainer and Singularity."""

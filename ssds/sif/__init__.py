"""SIF files: one image, one platform, one file that Apptainer and Singularity run."""

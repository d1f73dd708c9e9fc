"""Pages about evaluations and comparisons: one HTML file each, which needs nothing else."""

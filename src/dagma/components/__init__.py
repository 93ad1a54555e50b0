"""What a project declares in a few lines of YAML or Python. Empty, so that each part is imported where it is needed."""

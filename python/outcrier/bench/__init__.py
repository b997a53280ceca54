"""Scores of what Outcrier infers, against recorded truth."""

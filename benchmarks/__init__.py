"""What Outcrier costs, beside what others cost in the same run. README.md says how to run and read it."""

# Test and demo targets; see test/README.md.

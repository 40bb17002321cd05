"""Known bugs as patches, each with the tests that must catch it: proof that the tests can fail."""

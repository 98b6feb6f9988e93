"""`perfsdk demo`: a small shop under load, measured, and the three answers from its numbers."""

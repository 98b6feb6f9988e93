"""`perfsdk doctor`: what is in force beside an application, what is wrong, and what to do."""

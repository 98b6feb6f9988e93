"""The version of the distribution, read by the build and by both programs."""

__version__ = "0.1.0"

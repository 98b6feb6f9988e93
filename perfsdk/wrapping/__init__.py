"""The only code that changes other people's libraries."""

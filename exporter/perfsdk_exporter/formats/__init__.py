"""How a page is asked for, written and compressed."""

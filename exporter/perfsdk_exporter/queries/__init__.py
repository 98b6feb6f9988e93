"""The table of database statements: from counters to rows, and these as HTML and JSON."""

"""What runs are, as documents to read: Markdown, diffs and plain text from plain data."""

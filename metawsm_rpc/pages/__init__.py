"""Pages: runs and other results as readable documents, in Markdown, diffs and plain text."""

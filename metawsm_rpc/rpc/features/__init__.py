"""What an editor is shown: pure functions from the view of a root, or the text of a file, to what the protocol calls it."""

"""What an editor is shown: diagnostics, lenses, hovers, actions, links, symbols, completion and documents."""

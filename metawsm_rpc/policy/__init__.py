"""The policy file: its model, its defaults, how it is read, and how old ones are brought up to date."""

"""The protocol in writing: schemas from the types, with descriptions and examples, and the documents made of them."""

"""The live view of `metawsm watch`."""

"""Tickets as files, in docmgr's layout."""

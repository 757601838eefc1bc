"""Bridges to other libraries: each is imported in one place only, where its quirks are met."""

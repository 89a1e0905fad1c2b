"""Scenarios, element sets, payload profiles, schemas and textures, as data."""

"""The viewer: it reads run stores and nothing else. Importing this package loads nothing."""

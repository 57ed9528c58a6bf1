"""The contract asked of every network: results that docs/networks.md shows. Nothing here is a check of its own."""

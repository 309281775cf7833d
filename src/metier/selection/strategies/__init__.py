"""Ways to choose rows of a pool, one per file, each a function ``choose(material)`` that returns places in order."""

"""Ways to choose rows of a pool, one in each file; all have the same form, ``choose(material) -> places in order``."""

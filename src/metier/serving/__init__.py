"""A run's products over HTTP, as evaluation measured them, and the page that shows them."""

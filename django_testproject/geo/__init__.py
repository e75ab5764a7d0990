"""Cities of the world: cached answers about real GeoNames data."""

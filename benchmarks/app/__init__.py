"""Three models of the same shape, for the rows about saving and loading."""

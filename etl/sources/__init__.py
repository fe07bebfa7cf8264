"""One reader a kind of source; each yields repositories, files and what could not be read."""

"""One annotator a file: a pure function of a content (and its name), and its Arrow batch form."""

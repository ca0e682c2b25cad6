"""The extractor: values for a mission's fields and a class for the document, learned from labelled documents."""

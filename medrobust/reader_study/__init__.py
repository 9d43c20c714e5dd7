"""Reader studies: a blinded page for people who read images, its sealed key, and the tables of what they answered."""

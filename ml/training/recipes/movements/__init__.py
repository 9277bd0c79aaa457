"""Recipe of the face movements: a small network on the points of the mesh learns what a teacher answers."""

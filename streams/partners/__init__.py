"""Partners: who may receive what of whom, who may send what, and how both are signed."""

"""Was it right? What logged decisions say of other ways to decide, before anybody is treated by them."""

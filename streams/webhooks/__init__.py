"""Offers and plans to partners, as signed webhooks: each as far as the borrower consents, until it is taken."""

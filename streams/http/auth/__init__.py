"""Who may use our pages and endpoints, and for what: identities, roles, sessions, limits; for any aiohttp app."""

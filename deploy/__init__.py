"""How Reprieve runs: local servers, images, dashboards, rules."""

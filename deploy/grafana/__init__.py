"""Grafana's dashboards, made from one short description of each (`panels`, `build`)."""
